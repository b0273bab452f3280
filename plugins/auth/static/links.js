// The token stays in the fragment, which browsers send to nobody; it is posted once and leaves the address bar at once.
"use strict";

const form = document.getElementById("form");
const state = document.getElementById("state");
const [email, password, again] = ["email", "password", "again"].map((id) => document.getElementById(id));
const token = new URLSearchParams(location.hash.slice(1)).get("token");

history.replaceState(null, "", location.pathname);

if (token || !form.dataset.token) {
  state.textContent = token ? "The link works once." : "";
  form.hidden = false;
} else {
  state.textContent = "This address lacks its token. Open the link exactly as you were given it.";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (again && password.value !== again.value) {
    state.textContent = "The two passwords differ.";
    return;
  }
  const button = form.querySelector("button");
  button.disabled = true;
  state.textContent = "One moment…";
  const body = {
    ...(form.dataset.token && { token }),
    ...(email && { email: email.value }),
    ...(password && { password: password.value }),
  };
  try {
    const reply = await fetch(form.dataset.endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = reply.status === 204 ? {} : await reply.json();
    if (reply.ok) {
      form.hidden = true;
      state.textContent = answer.detail || form.dataset.done.replace("{email}", answer.user?.email ?? "");
      return;
    }
    state.textContent = answer.errors?.[0]?.detail || answer.detail || answer.title;
  } catch {
    state.textContent = "The board did not answer. Try again.";
  }
  button.disabled = false;
});
