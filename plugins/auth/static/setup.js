// The token stays in the fragment, which browsers send to nobody; it is posted once and leaves the address bar at once.
"use strict";

const token = new URLSearchParams(location.hash.slice(1)).get("token");
const form = document.getElementById("setup");
const state = document.getElementById("state");
const [password, again] = [document.getElementById("password"), document.getElementById("again")];

history.replaceState(null, "", location.pathname);

if (token) {
  state.textContent = "The link works once.";
  form.hidden = false;
} else {
  state.textContent = "This address lacks its token. Open the link exactly as it was printed.";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (password.value !== again.value) {
    state.textContent = "The two passwords differ.";
    return;
  }
  const button = form.querySelector("button");
  button.disabled = true;
  state.textContent = "One moment…";
  try {
    const reply = await fetch("/api/auth/setup", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token, password: password.value }),
    });
    const answer = await reply.json();
    if (reply.ok) {
      form.hidden = true;
      state.textContent = `Done. ${answer.user.email} can sign in now.`;
      return;
    }
    state.textContent = answer.detail || answer.title;
  } catch {
    state.textContent = "The board did not answer. Try again.";
  }
  button.disabled = false;
});
