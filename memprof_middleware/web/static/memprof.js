"use strict";
// The page is complete without this file. It adds a readout of the charts under the pointer or the arrow keys, a look
// at the server every few seconds, and how old the page is. No text ever becomes markup here: a new page is parsed by the
// browser as a document of its own, in which no script runs, and its sections are moved over.
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  const size = (mb) => {
    let [value, unit] = [Math.abs(mb), "MiB"];
    if (value >= 1024) [value, unit] = [value / 1024, "GiB"];
    else if (value > 0 && value < 1) [value, unit] = [value * 1024, "KiB"];
    return (mb < 0 ? "\u2212" : "") + value.toFixed(value >= 100 ? 0 : 1) + " " + unit;
  };
  const count = (value) =>
    value >= 1e6
      ? (value / 1e6).toFixed(2) + " M"
      : value >= 1e4
        ? (value / 1e3).toFixed(1) + " k"
        : Math.round(value).toLocaleString("en");

  // A picture has its words in the caption, or in the line above it; a report's has a table of its values too.
  const readout = (figure) => {
    const data = JSON.parse(figure.dataset.points);
    const chart = one(".chart", figure);
    const cross = one(".cross", figure);
    const at = one(".at", figure) || one(".at", figure.parentElement);
    const cells = all(".legend .now", figure);
    const now = cells.map((cell) => cell.textContent);
    const write = data.u === "m" ? size : count;
    const last = data.n - 1;
    let index = last;
    const show = (wanted) => {
      index = Math.max(0, Math.min(last, wanted));
      const x = (100 * index) / last + "%";
      cross.setAttribute("x1", x);
      cross.setAttribute("x2", x);
      cross.classList.add("on");
      const seconds = data.s + ((data.e - data.s) * index) / last;
      const end = data.e - data.s > 600 ? 16 : 19;
      const told = data.v.map((values) => (values[index] === null ? "\u2013" : write(values[index])));
      const named = told.map((value, row) => (data.k[row] ? data.k[row] + " " + value : value));
      const time = new Date(seconds * 1000).toISOString().slice(11, end) + " UTC";
      at.textContent = cells.length ? time : [time, ...named].join(" \u00b7 ");
      cells.forEach((cell, row) => (cell.textContent = told[row]));
    };
    const hide = () => {
      cross.classList.remove("on");
      at.textContent = "";
      cells.forEach((cell, row) => (cell.textContent = now[row]));
      index = last;
    };
    chart.setAttribute("tabindex", "0");
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      show(Math.round(((event.clientX - box.left) / box.width) * last));
    });
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -last, End: last }[event.key];
      if (step) {
        event.preventDefault();
        show(index + step);
      } else if (event.key === "Escape") hide();
    });
  };

  // Only what has changed is put in, so that a screen reader is not told the same again, and nothing under the
  // reader's hand or eye: what has focus, is hovered or has something selected stays until it is left.
  const busy = (element) => element.matches(":hover, :focus-within") || one(".cross.on", element);
  const before = new Map();
  const parts = (root) => all("#main > section:not(#details), #details > details, #end", root);
  const replace = (page) => {
    const fresh = new Map(parts(page).map((part) => [part.id, part]));
    const old = parts(document);
    if (old.length !== fresh.size || old.some((part) => !fresh.has(part.id))) {
      if (busy(one("#main"))) return;
      one("#main").replaceChildren(...document.adoptNode(one("#main", page)).childNodes);
      all(".fig").forEach(readout);
      return remember();
    }
    for (const part of old) {
      const next = fresh.get(part.id);
      const markup = next.outerHTML;
      if (before.get(part.id) === markup || (part.id !== "end" && busy(part))) continue;
      before.set(part.id, markup);
      const open = all("details", part).map((details) => details.open);
      part.replaceWith(document.adoptNode(next));
      all("details", next).forEach((details, row) => (details.open = open[row] ?? false));
      if (part.open) next.open = true;
      all(".fig", next).forEach(readout);
    }
    document.title = page.title;
    one(".host").textContent = one(".host", page).textContent;
  };
  const remember = () => parts(document).forEach((part) => before.set(part.id, part.outerHTML));

  // How old the page is stands in the head: seconds while all is well, in red once no answer comes.
  const live = (told, usual) => {
    const pause = one("#pause");
    let on = true;
    let wait = usual;
    let read = Date.now();
    let trouble = "";
    const say = () => {
      const age = Math.round((Date.now() - read) / 1000);
      const words = trouble ? trouble + age + " s" : on ? age + " s ago" : "paused, " + age + " s ago";
      if (told.textContent !== words) told.textContent = words;
      told.classList.toggle("lost", trouble !== "");
    };
    const again = () => setTimeout(look, wait * 1000);
    const failed = (words) => {
      wait = Math.min(60, Math.max(1, wait * 2));
      trouble = words;
      say();
      again();
    };
    const look = () => {
      if (!on || document.hidden) return again();
      const request = new XMLHttpRequest();
      request.open("GET", location.pathname);
      request.responseType = "document";
      request.timeout = 10000;
      request.onload = () => {
        const page = request.response;
        if (request.status !== 200 || !page || !one("#main", page)) return failed("no answer for ");
        if (!one("#status", page)) return failed("log in again; no answer for ");
        replace(page);
        read = Date.now();
        wait = usual;
        trouble = "";
        say();
        again();
      };
      request.onerror = request.ontimeout = () => failed("no answer for ");
      request.send();
    };
    pause.hidden = false;
    pause.addEventListener("click", () => {
      on = !on;
      pause.setAttribute("aria-pressed", String(!on));
      say();
    });
    setInterval(say, 1000);
    again();
  };

  remember();
  all(".fig").forEach(readout);
  const told = one("#live");
  if (told && document.body.dataset.refresh) live(told, Number(document.body.dataset.refresh));
})();
