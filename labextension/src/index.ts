// The plugin: watches the kernel of each notebook, and offers what its gateway can do.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import {
  Dialog,
  ICommandPalette,
  IToolbarWidgetRegistry,
  Notification,
  showDialog
} from '@jupyterlab/apputils';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { IStatusBar } from '@jupyterlab/statusbar';
import { count, type State } from './state';
import { KernelWatch, type Reply } from './watch';
import { KernelBar, KernelStatus, showLost } from './widgets';

/** How much longer an idle kernel is kept, in seconds. */
const KEEP_SECONDS = 1800;
/** Between two notices on widgets of one notebook, in ms: a slider sends as fast as it is moved. */
const NOTICE_PAUSE = 30_000;

const plugin: JupyterFrontEndPlugin<void> = {
  id: '@elastic-jupyter/labextension:plugin',
  description: 'Shows what a kernel of elastic-jupyter does, and gives its GPU back or keeps it.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [IToolbarWidgetRegistry, IStatusBar, ICommandPalette],
  activate
};

function activate(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker,
  toolbars: IToolbarWidgetRegistry | null,
  statusBar: IStatusBar | null,
  palette: ICommandPalette | null
): void {
  const watches = new WeakMap<NotebookPanel, KernelWatch>();
  const watchOf = (panel: NotebookPanel): KernelWatch => {
    let watch = watches.get(panel);
    if (!watch) {
      watch = new KernelWatch(panel.sessionContext);
      watches.set(panel, watch);
      watch.changed.connect(tellLost);
      watch.changed.connect(() => refresh());
      watch.touched.connect(limited(tellAway, NOTICE_PAUSE));
    }
    return watch;
  };
  const current = (): KernelWatch | null =>
    notebooks.currentWidget && watchOf(notebooks.currentWidget);

  const commands: [string, string, (watch: KernelWatch) => boolean, (watch: KernelWatch) => void][] =
    [
      ['keep', 'Keep Idle Kernel for 30 Minutes Longer', watch => watch.can('keep'), keep],
      ['release', 'Release GPU Now', watch => watch.can('release'), release],
      [
        'show-lost',
        'Show Variables That Were Not Restored',
        watch => Boolean(watch.state?.lost.length),
        watch => watch.state && showLost(watch.state)
      ]
    ];
  for (const [name, label, isPossible, act] of commands) {
    const command = `elastic-jupyter:${name}`;
    app.commands.addCommand(command, {
      label,
      isEnabled: () => {
        const watch = current();
        return watch !== null && isPossible(watch);
      },
      execute: () => {
        const watch = current();
        return watch && act(watch);
      }
    });
    palette?.addItem({ command, category: 'Kernel Operations' });
  }
  const refresh = (): void => {
    for (const [name] of commands) {
      app.commands.notifyCommandChanged(`elastic-jupyter:${name}`);
    }
  };

  toolbars?.addFactory<NotebookPanel>(
    'Notebook',
    'elastic-jupyter',
    panel => new KernelBar(watchOf(panel), { keep, release })
  );
  notebooks.forEach(watchOf);
  notebooks.widgetAdded.connect((_, panel) => watchOf(panel));

  if (statusBar) {
    const status = new KernelStatus();
    statusBar.registerStatusItem('elastic-jupyter:kernel', {
      item: status,
      align: 'left',
      rank: 3,
      isActive: () => status.isActive,
      activeStateChanged: status.activeStateChanged
    });
    status.follow(current());
    notebooks.currentChanged.connect(() => {
      status.follow(current());
      refresh();
    });
  }
}

function keep(watch: KernelWatch): void {
  report(watch.ask('keep', { seconds: KEEP_SECONDS }), () => 'The idle kernel is kept longer.');
}

async function release(watch: KernelWatch): Promise<void> {
  if (watch.state && !watch.state.hibernates) {
    const { button } = await showDialog({
      title: 'Release the GPU?',
      body: 'The kernel is stopped, and its variables are gone. The next cell starts a new one.',
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Release' })]
    });
    if (!button.accept) {
      return;
    }
  }
  report(watch.ask('release'), reply =>
    reply.busy
      ? 'The kernel gives its resources back when its cell ends.'
      : 'The kernel gives its resources back now.'
  );
}

/** Say how it went. */
function report(asked: Promise<Reply>, done: (reply: Reply) => string): void {
  asked.then(
    reply => {
      if (reply.status === 'ok') {
        Notification.success(done(reply), { autoClose: 4000 });
      } else {
        Notification.error(reply.evalue ?? 'The gateway refuses it.', { autoClose: 8000 });
      }
    },
    () => undefined // the notebook has another kernel, or none
  );
}

/** Say once that something did not come back, when that is new. */
function tellLost(watch: KernelWatch, before: State | null): void {
  const state = watch.state;
  if (state?.lost.length && before && !before.lost.length) {
    Notification.warning(`${count(state.lost_count, 'variable')} did not come back.`, {
      autoClose: 10_000,
      actions: [{ label: 'Show', callback: () => showLost(state) }]
    });
  }
}

function tellAway(watch: KernelWatch): void {
  const asleep = watch.state?.phase === 'Hibernated';
  Notification.info(
    `The kernel of this widget ${asleep ? 'sleeps: run a cell to wake it' : 'does not run'}.`,
    { autoClose: 6000 }
  );
}

function limited(tell: (watch: KernelWatch) => void, pause: number): (watch: KernelWatch) => void {
  let last = -Infinity;
  return watch => {
    if (Date.now() - last > pause) {
      last = Date.now();
      tell(watch);
    }
  };
}

export default plugin;
