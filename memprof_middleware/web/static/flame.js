"use strict";
// The flame graph's zoom, search and keys. The picture is complete without: no markup is made here, and nothing is asked.
(() => {
  const graph = document.getElementById("flame");
  if (!graph) return;
  const reset = document.getElementById("reset");
  const find = document.getElementById("find");
  const crumb = document.getElementById("crumb");
  const LABEL_PERCENT = 1.2;

  // A parent stands before its children, so the last frame one level up is the parent.
  const path = [];
  const frames = [...graph.querySelectorAll(".f")].map((el) => {
    const frame = {
      el,
      depth: Number(el.dataset.d),
      bytes: Number(el.dataset.b),
      x: parseFloat(el.getAttribute("x")),
      width: parseFloat(el.getAttribute("width")),
      name: el.querySelector("title").textContent,
      text: el.querySelector("text"),
      children: [],
    };
    frame.parent = frame.depth ? path[frame.depth - 1] : null;
    if (frame.parent) frame.parent.children.push(frame);
    path[frame.depth] = frame;
    el.setAttribute("tabindex", "-1");
    return frame;
  });
  const root = frames[0];
  const byElement = new Map(frames.map((frame) => [frame.el, frame]));
  let current = root;
  let active = root;

  const place = (frame, x, width) => {
    frame.el.setAttribute("x", x + "%");
    frame.el.setAttribute("width", width + "%");
    frame.text.classList.toggle("late", width <= LABEL_PERCENT);
  };
  const above = (frame) => {
    const found = new Set();
    for (let up = frame.parent; up; up = up.parent) found.add(up);
    return found;
  };

  function zoom(to) {
    current = to;
    const ancestors = above(to);
    const inside = new Set();
    const waiting = [to];
    while (waiting.length) {
      const frame = waiting.pop();
      inside.add(frame);
      waiting.push(...frame.children);
    }
    const scale = 100 / to.width;
    for (const frame of frames) {
      const up = ancestors.has(frame);
      frame.el.classList.toggle("gone", !up && !inside.has(frame));
      frame.el.classList.toggle("dim", up);
      if (up) place(frame, 0, 100);
      else if (inside.has(frame)) place(frame, (frame.x - to.x) * scale, frame.width * scale);
    }
    reset.disabled = to === root;
    if (active.el.classList.contains("gone")) focusable(to);
    tell();
  }

  function focusable(frame) {
    active.el.setAttribute("tabindex", "-1");
    active = frame;
    frame.el.setAttribute("tabindex", "0");
  }

  function bytes(value) {
    for (const unit of ["B", "KiB", "MiB"]) {
      if (value < 1024) return value.toFixed(unit === "B" || value >= 100 ? 0 : 1) + " " + unit;
      value /= 1024;
    }
    return value.toFixed(1) + " GiB";
  }

  // What a match holds counts once, also where another match lies above it.
  function search() {
    const wanted = find.value.trim().toLowerCase();
    let number = 0;
    let sum = 0;
    for (const frame of frames) {
      frame.hit = wanted !== "" && frame !== root && frame.name.slice(0, frame.name.lastIndexOf(": ")).toLowerCase().includes(wanted);
      frame.under = frame.parent !== null && (frame.parent.hit || frame.parent.under);
      frame.el.classList.toggle("hit", frame.hit);
      if (frame.hit) {
        number += 1;
        if (!frame.under) sum += frame.bytes;
      }
    }
    graph.classList.toggle("searched", number > 0);
    return wanted && `${number} ${number === 1 ? "frame matches" : "frames match"}` +
      (number && !("compared" in graph.dataset) ? `: ${bytes(sum)}, ${((100 * sum) / root.bytes).toFixed(1)} %` : "");
  }

  function tell() {
    crumb.textContent = search() || (current === root ? "" : current.name);
  }

  function escape() {
    if (find.value) {
      find.value = "";
      tell();
    } else zoom(root);
  }

  graph.addEventListener("click", (event) => {
    const frame = byElement.get(event.target.closest(".f"));
    if (!frame) return;
    focusable(frame);
    zoom(frame);
  });
  graph.addEventListener("keydown", (event) => {
    const frame = byElement.get(event.target.closest(".f"));
    if (!frame || event.ctrlKey || event.metaKey || event.altKey) return;
    const row = frames.filter((other) => other.depth === frame.depth && !other.el.classList.contains("gone"));
    const at = row.indexOf(frame);
    const next = {
      ArrowDown: frame.children[0],
      ArrowUp: frame.parent,
      ArrowRight: row[at + 1],
      ArrowLeft: row[at - 1],
      Home: root,
    }[event.key];
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      zoom(frame);
    } else if (next) {
      event.preventDefault();
      focusable(next);
      next.el.focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") escape();
    else if (event.key === "/" && document.activeElement !== find && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      find.focus();
    }
  });
  find.addEventListener("input", tell);
  reset.addEventListener("click", () => zoom(root));

  reset.hidden = false;
  reset.disabled = true;
  document.getElementById("findl").hidden = false;
  focusable(root);
})();
