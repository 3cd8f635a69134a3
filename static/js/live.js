/* Before htmx, to miss no event */
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const on = (names, handler) => names.split(" ").forEach((name) => document.addEventListener(name, handler));
  const put = (node, text) => { if (node && node.textContent !== text) node.textContent = text; };

  /* clock: the server's, advanced by a monotonic one */
  let base = +document.body.dataset.now || Date.now();
  let mark = performance.now();
  const now = () => base + performance.now() - mark;
  const pad = (n) => String(n).padStart(2, "0");
  const clock = (ms) => new Date(ms).toISOString().slice(11, 19);

  const rough = (s) => s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min`
    : s < 172_800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} d`;
  const length = (s) => s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} m ${pad(s % 60)} s`
    : s < 86_400 ? `${Math.floor(s / 3600)} h ${pad(Math.floor(s % 3600 / 60))} m` : `${Math.floor(s / 86_400)} d ${Math.floor(s % 86_400 / 3600)} h`;
  const PHRASE = { ago: (s) => `${rough(s)} ago`, for: rough, elapsed: length };

  /* out of sight seldom: tables are dear to lay out */
  function ages() {
    const moment = now();
    const due = (node) => moment % 1e4 < 1e3 || Math.abs(node.getBoundingClientRect().top) < innerHeight;
    for (const node of all("[data-observed-at]").filter(due)) {
      put(node, PHRASE[node.dataset.age](Math.max(1, Math.floor((moment - node.dataset.observedAt) / 1000))));
    }
    for (const bar of all("progress[data-from]")) {
      bar.value = Math.min(bar.max, Math.max(0, (moment - bar.dataset.from) / 1000));
    }
  }

  /* connection */
  let heard = now();
  let state = "off";
  let attempt = 0;
  let brief = false;
  let began = 0;

  function show(next) {
    const pill = $("#pill"), banner = $("#offline");
    if (!pill) return;
    const since = clock(heard);
    const text = { live: "Live", reconnecting: `Reconnecting (${attempt})`, stale: `Stale since ${since}`, ended: "Signed out", off: "Not live" }[next];
    if (pill.dataset.link !== next) pill.dataset.link = next;
    put(pill.lastElementChild, text);
    const off = /stale|ended/.test(next);
    if (next !== state) say(off ? text : "");
    state = next;
    if (banner) {
      banner.hidden = !off;
      if (off) {
        put($("[data-offline-head]"), `${text}.`);
        $("[data-offline-text]").textContent = next === "ended" ? "Sign in again to go on."
          : `Values on this page are from ${since} UTC. Buttons that change the cluster are off until it reconnects.`;
      }
    }
    writes(off);
  }

  function writes(off) {
    for (const button of all(off ? "[data-write]:enabled" : "[data-off]")) {
      button.disabled = off;
      button.toggleAttribute("data-off", off);
    }
    if ($("[data-moved]")) for (const button of all("[data-run]")) button.disabled = true;
  }

  function alive() { heard = now(); attempt = 0; if (state !== "live") show("live"); }

  on("htmx:after:sse:connection", alive);
  on("htmx:before:sse:connection", (event) => {
    const tries = event.detail.connection?.attempt;
    if (tries && !document.hidden && !(brief && tries < 2)) { attempt = tries; if (state !== "stale") show("reconnecting"); }
  });
  on("htmx:sse:error", () => { attempt += 1; if (/live|rec/.test(state)) show("reconnecting"); });
  /* the session moved: ask again at once; 401 then says that it ended */
  on("bye", () => setTimeout(() => window.htmx?.trigger("#live", "again"), 100));
  on("htmx:response:error htmx:after:request", (event) => {
    const ctx = event.detail.ctx;
    if (ctx?.sourceElement?.id === "live" && ctx.response?.raw?.status === 401) show("ended");
  });
  on("tick", (event) => {
    const data = `${event.detail?.data}`, at = Date.parse(data.split(" ")[0]), note = $("#redis-away");
    if (at) { base = at; mark = performance.now(); }
    if (note) note.hidden = !data.includes("redis");
    brief = data.includes("brief");
    alive();
    put($("#pill").lastElementChild, brief ? "Live, every 3 s" : "Live");
  });
  on("htmx:after:sse:message", () => { alive(); settled(); });
  /* another page in place of the one that asked */
  on("htmx:after:swap", () => {
    if (state === "off" || $("#pill")?.dataset.link !== "off") return;
    state = "off"; began = performance.now();
    scrollTo(0, 0);
    $("#main").focus();
  });

  function settled() {
    ages();
    writes(/stale|ended/.test(state));
    regroup();
    changes();
    lines();
    tail();
    const named = $("[data-title]"), goto = $("[data-goto]");
    if (named) document.title = document.title.replace(/^.*?(?= · )/, () => named.dataset.title);
    if (goto) location.replace(goto.dataset.goto);
  }

  /* a row moves to the group of its new word, but never under the pointer or the focus */
  function regroup() {
    for (const table of all("[data-regroup]")) {
      if (table.matches(":hover, :focus-within")) continue;
      for (const row of all("tr[data-row]", table)) {
        const group = $(`tbody[data-group="${row.dataset.state}"]`, table);
        if (group && row.parentElement !== group) group.append(row);
      }
      for (const group of all("tbody[data-group]", table)) put($("[data-count]", group), String(all("tr[data-row]", group).length));
    }
  }
  on("mouseout focusout", (event) => { if (event.target.closest?.("[data-regroup]")) setTimeout(regroup, 50); });

  const known = new Map(all("[data-announce]").map((node) => [node.id, node.dataset.state]));
  const queue = new Map();
  let timer = 0;
  function changes() {
    for (const node of all("[data-announce]")) {
      const before = known.get(node.id);
      known.set(node.id, node.dataset.state);
      if (before && before !== node.dataset.state) queue.set(node.dataset.announce, node.dataset.state.replaceAll("_", " "));
    }
    if (queue.size && !timer) timer = setTimeout(() => {
      const [name, word] = [...queue].at(-1);
      say(queue.size === 1 ? `${name} is ${word}` : `${queue.size} changed: ${name} is ${word}`);
      queue.clear(); timer = 0;
    }, 1500);
  }
  function say(text) { if (text) put($("#announcer"), text); }

  /* log */
  function place(source) {
    const log = $("#log");
    for (const group of all(".log-step", source)) {
      const mine = document.getElementById(group.id);
      if (!mine) { log.append(group); continue; }
      $(".meta", mine).textContent = $(".meta", group).textContent;
      for (const line of all(".ll", group)) if (!document.getElementById(line.firstChild.id)) mine.append(line);
    }
  }
  function lines() {
    const inbox = $("#log-inbox > [data-last]"), box = $("#log-box");
    if (!inbox || !box) return;
    const have = +box.dataset.last || 0, first = +inbox.dataset.first, last = +inbox.dataset.last;
    if (last <= have) { inbox.remove(); return; }
    if (first > have + 1) {  // more came than one message carries
      fetch(`${box.dataset.more}?after=${have}`, { headers: { "HX-Request": "true" } })
        .then((answer) => answer.ok ? answer.text() : "").then((text) => {
          if (!text) return;
          const part = new DOMParser().parseFromString(text, "text/html").body.firstElementChild;
          if (part) { $("#log-inbox").replaceChildren(part); lines(); tail(); }
        });
      inbox.remove();
      return;
    }
    inbox.remove();
    /* the newest line is the one tab stop, arrows lead from it */
    for (const old of all(".newest", box)) { old.classList.remove("newest"); old.firstChild.tabIndex = -1; }
    place(inbox);
    box.dataset.last = last;
    put($("#log-count"), `${last} lines`);
  }
  function tail() {
    const box = $("#log-box");
    if (box && document.body.dataset.tail !== "off") box.scrollTop = box.scrollHeight;
  }

  setInterval(() => {
    ages();
    if (!$("#live") || document.hidden) { if (document.hidden) heard = now(); return; }
    if (state === "ended") return;
    if (now() - heard > 40_000) show("stale");
    else if (state === "off" && performance.now() - began > 10_000) { attempt = 1; show("reconnecting"); }
  }, 1000);
  ages();
})();
