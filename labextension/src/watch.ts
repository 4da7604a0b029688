// Listens to the kernel of one notebook, and asks its gateway.

import type { ISessionContext } from '@jupyterlab/apputils';
import { type Kernel, KernelMessage } from '@jupyterlab/services';
import { type ISignal, Signal } from '@lumino/signaling';
import { COUNTDOWN, isAway, type State } from './state';

/** What a reply says; `status` is "ok" or "error". */
export interface Reply {
  status: string;
  evalue?: string;
  busy?: boolean;
}

const STATE = 'elastic_jupyter_state';
/** The longest pause of a browser's timer that is safe, in ms. */
const LONGEST = 3_600_000;

/** Whether a message tells a kernel what was done to a widget; who connects asks for states alone. */
function isTouch(msg: KernelMessage.IMessage): boolean {
  if (!KernelMessage.isCommMsgMsg(msg)) {
    return false;
  }
  const { method } = msg.content.data;
  return method !== 'request_state' && method !== 'request_states';
}

export class KernelWatch {
  constructor(context: ISessionContext) {
    context.kernelChanged.connect((_, { newValue }) => this._follow(newValue), this);
    context.disposed.connect(() => this.dispose(), this);
    this._follow(context.session?.kernel ?? null);
  }

  /** The last that was told; null: the kernel is none of ours, or nothing was told yet. */
  get state(): State | null {
    return this._state;
  }

  /** Seconds until the reclaim, null where there is none to come. */
  get left(): number | null {
    const at = this._state?.reclaim_at;
    return at ? (Date.parse(at) - Date.now() - this._ahead) / 1000 : null;
  }

  /** Something is to be shown anew; what was told before, where that has changed, too. */
  get changed(): ISignal<this, State | null> {
    return this._changed;
  }

  /** A widget was touched whose kernel is not there. */
  get touched(): ISignal<this, void> {
    return this._touched;
  }

  /** Whether the gateway would do it now. */
  can(what: 'keep' | 'release'): boolean {
    return this._state?.can.includes(what) ?? false;
  }

  /** Ask the gateway; rejected where the kernel was changed meanwhile. */
  async ask(what: 'keep' | 'release', content: { seconds?: number } = {}): Promise<Reply> {
    const kernel = this._kernel;
    if (!kernel) {
      return { status: 'error', evalue: 'the notebook has no kernel' };
    }
    // The types know the messages of the standard alone.
    const message = KernelMessage.createMessage({
      msgType: `elastic_jupyter_${what}_request`,
      channel: 'control',
      session: kernel.clientId,
      username: kernel.username,
      content
    } as never) as unknown as KernelMessage.IControlMessage;
    const reply = await kernel.sendControlMessage(message, true).done;
    return reply!.content as unknown as Reply;
  }

  dispose(): void {
    this._follow(null);
    Signal.clearData(this);
  }

  private _follow(kernel: Kernel.IKernelConnection | null): void {
    this._kernel?.anyMessage.disconnect(this._onMessage, this);
    this._kernel = kernel;
    this._tell(null);
    kernel?.anyMessage.connect(this._onMessage, this);
    // Messages may have come before anybody could listen. The gateway tells the state again at this
    // request, which any other kernel knows, too.
    kernel?.requestKernelInfo().catch(() => undefined);
  }

  private _onMessage(_: Kernel.IKernelConnection, { msg, direction }: Kernel.IAnyMessageArgs): void {
    const type: string = msg.header.msg_type;
    if (direction === 'recv' && type === STATE) {
      // The clocks of gateway and browser may differ.
      this._ahead = Date.parse(msg.header.date) - Date.now() || 0;
      this._tell(msg.content as unknown as State);
    } else if (direction === 'send' && isTouch(msg) && this._state && isAway(this._state)) {
      this._touched.emit();
    }
  }

  private _tell(state: State | null): void {
    const before = this._state;
    this._state = state;
    this._changed.emit(before);
    this._tick();
  }

  private _tick(): void {
    window.clearTimeout(this._timer);
    const left = this.left;
    if (left === null || left <= 0) {
      return;
    }
    const pause = left > COUNTDOWN ? left - COUNTDOWN : left % 1 || 1;
    this._timer = window.setTimeout(
      () => {
        this._changed.emit(this._state);
        this._tick();
      },
      Math.min(pause * 1000, LONGEST)
    );
  }

  private _kernel: Kernel.IKernelConnection | null = null;
  private _state: State | null = null;
  private _ahead = 0;
  private _timer = 0;
  private _changed = new Signal<this, State | null>(this);
  private _touched = new Signal<this, void>(this);
}
