// Search in the documentation, open what a link points at, and print everything. The page is whole without it.
"use strict";

const search = document.getElementById("search");
const found = document.getElementById("found");
const operations = [...document.querySelectorAll(".operation")];
const entries = [...operations, ...document.querySelectorAll(".entry")];
const texts = new Map(entries.map((entry) => [entry, entry.textContent.toLowerCase()]));

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const [entry, text] of texts) {
    entry.hidden = !words.every((word) => text.includes(word));
    count += entry.hidden ? 0 : 1;
    const link = document.querySelector(`[data-for="${CSS.escape(entry.id)}"]`);
    if (link) link.hidden = entry.hidden;
  }
  for (const section of document.querySelectorAll(".filtered")) {
    section.hidden = !section.querySelector(".operation:not([hidden]), .entry:not([hidden])");
  }
  found.textContent = words.length ? `${count} of ${entries.length} entries match.` : "";
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

search.hidden = false;
search.addEventListener("input", filter);
addEventListener("hashchange", openTarget);
addEventListener("beforeprint", () => operations.forEach((operation) => (operation.open = true)));
addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    search.focus();
  }
});
openTarget();
filter();
