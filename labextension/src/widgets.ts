// What is shown of a kernel: in its notebook's toolbar, in the status bar, and in a dialog.

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { LabIcon, ToolbarButton } from '@jupyterlab/ui-components';
import { type ISignal, Signal } from '@lumino/signaling';
import { Panel, Widget } from '@lumino/widgets';
import { count, isCounted, label, type State, tooltip } from './state';
import type { KernelWatch } from './watch';

const WARNING = new LabIcon({
  name: 'elastic-jupyter:warning',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
    '<path class="jp-icon-warn0" fill="#e65100" d="M1 21h22L12 2 1 21zm12-3h-2v-2h2v2zm0-4h-2v-4h2v4z"/></svg>'
});

/** What the buttons do. */
export interface Actions {
  keep: (watch: KernelWatch) => void;
  release: (watch: KernelWatch) => void;
}

/** The state in a word, with the reason as tooltip. */
class StateLabel extends Widget {
  constructor(prefix: string) {
    super({ node: document.createElement('span') });
    this._prefix = prefix;
    this.addClass('jp-ElasticState');
  }

  showState(watch: KernelWatch | null): void {
    const state = watch?.state;
    if (watch && state) {
      this.node.textContent = this._prefix + label(state, watch.left);
      this.node.title = tooltip(state, watch.left);
      const counts = isCounted(watch.left);
      this.node.dataset['phase'] = counts ? 'Soon' : state.phase;
      // Nobody wants to have every second read out.
      this.node.setAttribute('aria-live', counts ? 'off' : 'polite');
    }
  }

  private _prefix: string;
}

/** The item of a notebook's toolbar. */
export class KernelBar extends Panel {
  constructor(watch: KernelWatch, actions: Actions) {
    super();
    this.addClass('jp-ElasticBar');
    this._watch = watch;
    this._keep = new ToolbarButton({
      label: 'Keep',
      tooltip: 'Keep the idle kernel for 30 minutes longer',
      onClick: () => actions.keep(watch)
    });
    this._release = new ToolbarButton({
      label: 'Release GPU now',
      tooltip: 'Give the resources of this kernel back now; the next cell asks for them again',
      onClick: () => actions.release(watch)
    });
    this._lost = new ToolbarButton({
      icon: WARNING,
      tooltip: 'Show the variables that were not restored when the kernel woke',
      onClick: () => watch.state && showLost(watch.state)
    });
    for (const child of [this._label, this._keep, this._release, this._lost]) {
      this.addWidget(child);
    }
    watch.changed.connect(this._show, this);
    this._show();
  }

  private _show(): void {
    this.setHidden(!this._watch.state);
    this._label.showState(this._watch);
    this._keep.enabled = this._watch.can('keep');
    this._release.enabled = this._watch.can('release');
    this._lost.setHidden(!this._watch.state?.lost.length);
  }

  private _watch: KernelWatch;
  private _label = new StateLabel('');
  private _keep: ToolbarButton;
  private _release: ToolbarButton;
  private _lost: ToolbarButton;
}

/** The item of the status bar, for the notebook that is in front. */
export class KernelStatus extends StateLabel {
  constructor() {
    super('Kernel: ');
  }

  follow(watch: KernelWatch | null): void {
    this._watch?.changed.disconnect(this._show, this);
    this._watch = watch;
    watch?.changed.connect(this._show, this);
    this._show();
  }

  /** Whether there is something to show. */
  get isActive(): boolean {
    return Boolean(this._watch?.state);
  }

  get activeStateChanged(): ISignal<this, void> {
    return this._activeStateChanged;
  }

  private _show(): void {
    this.showState(this._watch);
    this._activeStateChanged.emit();
  }

  private _activeStateChanged = new Signal<this, void>(this);

  private _watch: KernelWatch | null = null;
}

/** List what did not come back. */
export function showLost(state: State): void {
  const table = document.createElement('table');
  table.className = 'jp-ElasticLost';
  const head = table.createTHead().insertRow();
  for (const title of ['Name', 'Type', 'Reason']) {
    const cell = head.appendChild(document.createElement('th'));
    cell.scope = 'col';
    cell.textContent = title;
  }
  const rows = table.createTBody();
  for (const lost of state.lost) {
    const row = rows.insertRow();
    for (const text of [lost.name, lost.type, lost.reason]) {
      row.insertCell().textContent = text;
    }
  }
  const more = state.lost_count - state.lost.length;
  if (more > 0) {
    table.createCaption().textContent = `and ${more} more`;
  }
  const body = document.createElement('div'); // the dialog lays its body out in a way of its own
  body.append(table);
  void showDialog({
    title: `${count(state.lost_count, 'variable')} did not come back`,
    body: new Widget({ node: body }),
    buttons: [Dialog.okButton({ label: 'Close' })]
  });
}
