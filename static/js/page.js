/* Keys, copy, filters, log tools, menus. All works without it. */
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const typing = (node) => node.closest("input, textarea, select, [contenteditable]");

  /* keyboard: nothing destructive has a data-key */
  let prefix = "", prefixAt = 0;
  function help() {
    const list = $("[data-keys-list]"), dialog = $("#keys-help");
    if (!dialog) return;
    const rows = all("[data-key]").map((node) => [node.dataset.key, node.getAttribute("aria-label") || node.labels?.[0]?.textContent || node.textContent.replace(/\s+/g, " ").trim()]);
    list.replaceChildren(...[...rows, ["j / k", "Next, previous row or log line"], ["?", "This help"]].flatMap(([key, name]) => {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      for (const part of key.split(" ")) { const k = document.createElement("kbd"); k.textContent = part; dt.append(k, " "); }
      dd.textContent = name;
      return [dt, dd];
    }));
    dialog.showModal();
  }
  function move(step, line) {
    const rows = all(line ? ".ll" : "[data-row]").filter((row) => row.offsetParent !== null);
    if (!rows.length) return;
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
    (row.matches("a, button") ? row : $("a, button", row))?.focus();
    row.scrollIntoView({ block: "nearest" });
  }
  function press(node) {
    if (node.matches("input")) { node.focus(); node.select(); } else if (!node.disabled) node.click();
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const key = event.key, line = event.target.matches(".no");
    if ((document.body.dataset.keys === "off" && key.length < 2) || $("dialog[open]")) return;
    if (key === "?") { event.preventDefault(); help(); return; }
    const step = { j: 1, k: -1, ArrowDown: +line, ArrowUp: -line }[key];
    if (step) { event.preventDefault(); move(step, line); return; }
    const chord = prefix && event.timeStamp - prefixAt < 1200 ? `${prefix} ${key}` : key;
    const node = $(`[data-key="${CSS.escape(chord)}"]`);
    prefix = key; prefixAt = event.timeStamp;
    if (node) { event.preventDefault(); prefix = ""; press(node); }
  });

  /* copy */
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      const text = button.dataset.copy || $("code", button.parentElement).textContent;
      navigator.clipboard?.writeText(text).then(() => {
        button.dataset.done = "";
        $("#announcer").textContent = "Copied";
        setTimeout(() => delete button.dataset.done, 1500);
      });
    }
    if (event.target.closest("[data-reload]")) location.reload();
    const open = $("details.user[open]");
    if (open && !open.contains(event.target)) open.open = false;
    const toggle = event.target.closest("[data-toggle-class]");
    if (toggle) {
      const pressed = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", pressed);
      $(toggle.dataset.target).classList.toggle(toggle.dataset.toggleClass, toggle.dataset.when === "off" ? !pressed : pressed);
    }
    if (event.target.closest("[data-follow]")) follow(document.body.dataset.tail === "off");
  });

  /* filters */
  document.addEventListener("input", (event) => {
    const field = event.target, wanted = field.value.trim().toLowerCase();
    const has = (node) => node.textContent.toLowerCase().includes(wanted);
    if (field.dataset.filter) {
      for (const row of all(`${field.dataset.filter} [data-row]`)) row.hidden = !has(row);
    }
    if (field.dataset.find) {
      const found = all(`${field.dataset.find} .ll`).filter((line) => {
        const hit = wanted !== "" && has(line);
        line.classList.toggle("found", hit);
        return hit;
      });
      found[0]?.closest("details")?.setAttribute("open", "");
      found[0]?.scrollIntoView({ block: "center" });
      $("#announcer").textContent = wanted ? `${found.length} lines match` : "";
    }
  });

  /* follow the log until the reader scrolls up */
  function follow(yes) {
    document.body.dataset.tail = yes ? "on" : "off";
    const button = $("[data-follow]"), box = $("#log-box");
    if (!button) return;
    button.setAttribute("aria-pressed", yes);
    button.lastElementChild.textContent = yes ? "Following" : "Follow";
    if (yes) box.scrollTop = box.scrollHeight;
  }
  const line = $("#log-box :target");
  if (line) { line.closest("details").open = true; follow(false); line.scrollIntoView({ block: "center" }); } else follow(true);
  document.addEventListener("scroll", ({ target }) => {
    if (target.id !== "log-box") return;
    const end = target.scrollHeight - target.scrollTop - target.clientHeight < 48;
    if (end !== (document.body.dataset.tail !== "off")) follow(end);
  }, { capture: true, passive: true });

  /* own failed action */
  for (const name of ["htmx:response:error", "htmx:error"]) document.addEventListener(name, ({ detail: { ctx } }) => {
    if (!ctx?.sourceElement?.matches("form, button")) return;
    const toast = $("#toast");
    toast.textContent = /^[^<]+$/.test(ctx.text ?? "") ? ctx.text : "No answer. Press again: it counts only once.";
    setTimeout(() => toast.replaceChildren(), 8000);
  });
})();
