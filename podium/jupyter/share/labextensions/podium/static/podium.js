/* Podium in JupyterLab: the cluster's state in the status bar, a start page, submissions.
 *
 * This file is what a build would make: a container of webpack's module federation, with `init` and `get`
 * (https://jupyterlab.readthedocs.io/en/stable/extension/extension_dev.html, "prebuilt extensions";
 * https://webpack.js.org/concepts/module-federation/). It bundles nothing, and so it is written by hand. */
(() => {
  "use strict";

  let shareScope;

  /** A module that JupyterLab itself uses. */
  async function shared(name) {
    const versions = Object.values(shareScope[name]);
    return (await (versions.find((version) => version.loaded) ?? versions[0]).get())();
  }

  /** An element with attributes and children; one whose name begins with "on" is a listener. */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  /** A text whose commands stand between backquotes, as nodes. */
  function withCode(text) {
    return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
  }

  // What a state looks like: a shape, for whoever does not see the colour; and how soon to ask again, in milliseconds.
  const STATES = {
    unknown: { shape: "?", colour: "--jp-ui-font-color2", again: 2000 },
    off: { shape: "○", colour: "--jp-ui-font-color2", again: 5000 },
    starting: { shape: "◔", colour: "--jp-brand-color1", again: 500 },
    resetting: { shape: "◔", colour: "--jp-brand-color1", again: 500 },
    stopping: { shape: "◔", colour: "--jp-brand-color1", again: 500 },
    running: { shape: "●", colour: "--jp-success-color1", again: 5000 },
    impaired: { shape: "◐", colour: "--jp-warn-color1" }, // it runs, and a part of it does not
    failed: { shape: "▲", colour: "--jp-error-color1", again: 5000 },
  };

  const LOSS = "Everything that was created in it will be gone. Your notebooks stay as they are.";
  const VERBS = {
    start: { label: "Start", when: ["off", "failed"] },
    reset: { label: "Reset", when: ["running"], ask: "Reset the cluster?" },
    stop: { label: "Stop", when: ["running"], ask: "Stop the cluster?" },
  };

  const CSS = `
    .podium-item { all: unset; display: flex; gap: 6px; align-items: center; height: 100%; padding: 0 6px;
      cursor: pointer; color: var(--jp-ui-font-color1); font: var(--jp-ui-font-size1) var(--jp-ui-font-family); }
    .podium-item:hover { background: var(--jp-layout-color3); }
    .podium-item:focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: -2px; }
    .podium-popup { inset: auto auto 30px 8px; width: 330px; max-height: 70vh; overflow: auto; padding: 14px 16px;
      border: 1px solid var(--jp-border-color1); border-radius: 4px; background: var(--jp-layout-color1);
      color: var(--jp-ui-font-color1); box-shadow: var(--jp-elevation-z6);
      font: var(--jp-ui-font-size1)/1.5 var(--jp-ui-font-family); }
    .podium-popup h2 { margin: 0 0 6px; font-size: var(--jp-ui-font-size2); }
    .podium-popup p { margin: 6px 0; overflow-wrap: anywhere; white-space: pre-line; }
    .podium-popup progress { width: 100%; accent-color: var(--jp-brand-color1); }
    .podium-verbs { display: flex; gap: 8px; margin-top: 12px; }
    .podium-popup button { padding: 4px 12px; border: 1px solid var(--jp-border-color1); border-radius: 3px;
      background: var(--jp-layout-color2); color: inherit; font: inherit; cursor: pointer; }
    .podium-popup button:disabled { opacity: 0.45; cursor: default; }
    .podium-popup button:focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: 1px; }
    .podium-heard { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }`;

  const MODULES = [
    "@jupyterlab/apputils",
    "@jupyterlab/coreutils",
    "@jupyterlab/services",
    "@jupyterlab/ui-components",
    "@jupyterlab/launcher",
    "@jupyterlab/statusbar",
    "@jupyterlab/notebook",
    "@lumino/widgets",
  ];

  async function extension() {
    if (!MODULES.every((name) => name in shareScope)) return { __esModule: true, default: [] }; // not JupyterLab
    const [apputils, coreutils, services, ui, launcher, statusbar, notebook, widgets] = await Promise.all(
      MODULES.map(shared)
    );
    const settings = services.ServerConnection.makeSettings();

    /** Ask Podium's part of the server. What it refuses is thrown, in its own words. */
    async function ask(path, init = {}) {
      const url = coreutils.URLExt.join(settings.baseUrl, "podium", path);
      const answer = await services.ServerConnection.makeRequest(url, init, settings);
      if (!answer.ok) throw new Error((await answer.json()).message ?? answer.statusText);
      return answer;
    }

    /** Where the cluster stands, asked again and again while the page is seen. */
    class State {
      constructor() {
        this.now = { state: "unknown", nodes: [], stopped: [] };
        this.listeners = [];
        document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
        this.refresh();
      }

      async refresh() {
        clearTimeout(this.timer);
        try {
          this.tell(await (await ask("cluster")).json());
        } catch (error) {
          this.tell({ ...this.now, state: "unknown", step: "the notebook server does not answer", problem: null });
        }
        clearTimeout(this.timer); // of a second call that was faster
        if (!document.hidden) this.timer = setTimeout(() => this.refresh(), STATES[this.now.state].again);
      }

      tell(next) {
        const before = this.now;
        this.now = next;
        this.listeners.forEach((listener) => listener(next, before));
      }

      async begin(verb) {
        try {
          this.tell(await (await ask("cluster", { method: "POST", body: JSON.stringify({ do: verb }) })).json());
        } catch (error) {
          apputils.Notification.error(error.message, { autoClose: false });
        }
        this.refresh();
      }
    }

    function inWords({ state, step, nodes, stopped }) {
      if (state !== "running") return step ? `${state}: ${step}` : state;
      const count = `${nodes.length} node${nodes.length === 1 ? "" : "s"}`;
      return stopped.length ? `running, ${count}; not running: ${stopped.join(", ")}` : `running, ${count}`;
    }

    /** The item of the status bar, and the popup that it opens. */
    function statusItem(state, perform) {
      const shape = element("span", { "aria-hidden": "true" });
      const words = element("span");
      const heard = element("span", { class: "podium-heard", role: "status" });
      const item = element("button", { class: "podium-item", popovertarget: "podium-popup" }, shape, words);

      const said = element("p");
      const bar = element("progress", { max: 1, "aria-label": "How far it is" });
      const problem = element("p", { class: "podium-problem" });
      const buttons = Object.entries(VERBS).map(([verb, { label }]) => {
        return element("button", { "data-verb": verb, onclick: () => perform(verb) }, label);
      });
      const popup = element(
        "div",
        { id: "podium-popup", class: "podium-popup", popover: "auto", role: "dialog", tabindex: -1 },
        element("h2", { id: "podium-popup-title" }, "The cluster"),
        said,
        bar,
        problem,
        element("div", { class: "podium-verbs" }, ...buttons)
      );
      popup.setAttribute("aria-labelledby", "podium-popup-title");
      popup.addEventListener("toggle", ({ newState }) => {
        if (newState === "open") (buttons.find((button) => !button.disabled) ?? popup).focus();
      });
      document.body.append(popup, element("style", {}, CSS));

      state.listeners.push((now, before) => {
        const { shape: sign, colour } = STATES[now.stopped.length ? "impaired" : now.state];
        shape.textContent = sign;
        shape.style.color = `var(${colour})`;
        words.textContent = `Cluster ${inWords(now)}`;
        if (now.state !== before.state || now.stopped.length !== before.stopped.length)
          heard.textContent = `The cluster is ${inWords(now)}.`;
        const busy = now.state.endsWith("ing") && now.state !== "running";
        said.textContent = `${now.name ?? ""}: ${inWords(now)}${busy && now.seconds ? `, for ${now.seconds} s` : ""}`;
        bar.hidden = !busy;
        if (now.done) bar.value = now.done;
        else bar.removeAttribute("value");
        problem.hidden = !now.problem;
        problem.replaceChildren(...(now.problem ? withCode(`${now.problem.what}\n${now.problem.hint}`) : []));
        const focused = buttons.includes(document.activeElement);
        for (const button of buttons) button.disabled = !VERBS[button.dataset.verb].when.includes(now.state);
        if (focused && document.activeElement?.disabled !== false) popup.focus();
      });
      const widget = new widgets.Widget({ node: element("div", {}, item, heard) });
      widget.addClass("jp-mod-highlighted");
      return { widget, popup, item };
    }

    const cluster = {
      id: "podium:cluster",
      description: "The cluster's state in the status bar, with start, reset and stop.",
      autoStart: true,
      optional: [statusbar.IStatusBar, apputils.ICommandPalette],
      activate: (app, statusBar, palette) => {
        const state = new State();
        const perform = async (verb) => {
          const { ask: question, label } = VERBS[verb];
          popup.hidePopover();
          if (question) {
            const confirm = apputils.Dialog.warnButton({ label });
            const buttons = [apputils.Dialog.cancelButton(), confirm];
            if (!(await apputils.showDialog({ title: question, body: LOSS, buttons })).button.accept) return;
          }
          await state.begin(verb);
        };
        const { widget, popup, item } = statusItem(state, perform);
        statusBar?.registerStatusItem("podium:cluster", { item: widget, align: "left", rank: -1 });

        const show = () => popup.showPopover({ source: item });
        state.listeners.push((now, before) => {
          if (now.state === "failed" && before.state !== "failed") {
            const actions = [{ label: "What now?", callback: show }];
            apputils.Notification.error(now.problem.what, { autoClose: false, actions });
          }
          if (now.state !== before.state) app.commands.notifyCommandChanged();
        });
        app.commands.addCommand("podium:cluster", { label: "Cluster: State", execute: show });
        for (const [verb, { label, when }] of Object.entries(VERBS)) {
          app.commands.addCommand(`podium:${verb}`, {
            label: `Cluster: ${label}`,
            isEnabled: () => when.includes(state.now.state),
            execute: () => perform(verb),
          });
        }
        for (const command of ["cluster", ...Object.keys(VERBS)]) {
          palette?.addItem({ command: `podium:${command}`, category: "Podium" });
        }
      },
    };

    const pod =
      '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24" fill="none" stroke="#326ce5"' +
      ' stroke-width="2"><path d="M12 2l8.7 4.2 2.1 9.4-6 7.4H7.2l-6-7.4 2.1-9.4z"/>' +
      '<circle cx="12" cy="12.5" r="4" fill="#326ce5"/></svg>';

    const startPage = {
      id: "podium:start-page",
      description: "A card of the launcher that opens the course's start page and brings it up to date.",
      autoStart: true,
      optional: [launcher.ILauncher, apputils.ICommandPalette],
      activate: (app, cards, palette) => {
        const path = coreutils.PageConfig.getOption("podiumStartPage");
        if (!path) return; // the course is not in this folder
        const command = "podium:start-page";
        app.commands.addCommand(command, {
          label: "Start Page",
          caption: "Where you are in the course, what runs, and what next",
          icon: new ui.LabIcon({ name: "podium:pod", svgstr: pod }),
          execute: async () => {
            await app.commands.execute("docmanager:save-all"); // progress is read from what is saved
            const panel = await app.commands.execute("docmanager:open", { path });
            await panel.context.ready;
            await panel.sessionContext.ready;
            await app.commands.execute("notebook:run-all-cells");
            panel.content.activeCellIndex = 0;
            await panel.content.scrollToItem(0);
          },
        });
        cards?.add({ command, category: "Podium", rank: 0 });
        palette?.addItem({ command, category: "Podium" });
      },
    };

    const submission = {
      id: "podium:submission",
      description: "A button in labs that downloads the lab as the one file to hand in.",
      autoStart: true,
      optional: [notebook.INotebookTracker, apputils.ICommandPalette],
      activate: (app, tracker, palette) => {
        const command = "podium:submission";

        async function download() {
          const panel = tracker.currentWidget;
          const told = await apputils.InputDialog.getText({
            title: "Download what you hand in",
            label: "Your id, as your instructor knows it",
            text: localStorage.getItem("podium:student") ?? "",
            okLabel: "Download",
          });
          if (!told.button.accept) return;
          await panel.context.save();
          try {
            const query = new URLSearchParams({ path: panel.context.path, student: told.value.trim() });
            const answer = await ask(`submission?${query}`);
            localStorage.setItem("podium:student", told.value.trim());
            const name = answer.headers.get("Content-Disposition").split("''")[1]; // RFC 6266
            const href = URL.createObjectURL(await answer.blob());
            element("a", { href, download: decodeURIComponent(name) }).click();
            URL.revokeObjectURL(href);
          } catch (error) {
            await apputils.showErrorMessage("There is nothing to hand in", error.message);
          }
        }

        const isLab = (panel) =>
          panel?.context.isReady && panel.context.model.toJSON().cells.some((cell) => cell.metadata.nbgrader?.grade);
        app.commands.addCommand(command, {
          label: "Download Submission",
          caption: "Download this lab as the one file to hand in",
          isEnabled: () => Boolean(isLab(tracker?.currentWidget)),
          execute: download,
        });
        palette?.addItem({ command, category: "Podium" });
        tracker?.widgetAdded.connect(async (_, panel) => {
          await panel.context.ready;
          if (!isLab(panel)) return;
          const button = new ui.ToolbarButton({ label: "Download Submission", onClick: download });
          panel.toolbar.insertBefore("spacer", "podium-submission", button);
        });
      },
    };

    return { __esModule: true, default: [cluster, startPage, submission] };
  }

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.podium = {
    init: (scope) => {
      shareScope = scope;
    },
    get: async (name) => {
      if (name !== "./extension") throw new Error(`Podium has no module ${name}.`);
      const made = await extension();
      return () => made;
    },
  };
})();
