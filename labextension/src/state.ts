// What the gateway says of a kernel (docs/adr/0018), and how a user reads it. Pure.

export interface Lost {
  name: string;
  type: string;
  reason: string;
}

/** Content of the message elastic_jupyter_state; times are ISO 8601. */
export interface State {
  phase: string;
  text: string;
  queue: { position: number; length: number; place: string } | null;
  reclaim_at: string | null;
  keep_until: string | null;
  hibernates: boolean;
  restored: string[];
  lost: Lost[];
  lost_count: number;
  can: string[];
}

/** Seconds before a reclaim from which on they are counted. */
export const COUNTDOWN = 180;

const LABELS: Record<string, string> = {
  Dormant: 'not started',
  Queued: 'waiting',
  Pending: 'starting',
  Waking: 'waking',
  Running: 'running',
  Hibernating: 'falling asleep',
  Hibernated: 'asleep',
  Reclaimed: 'stopped',
  Failed: 'failed'
};

/** In a word or two; `left`: seconds until the reclaim, or null. */
export function label(state: State, left: number | null): string {
  if (state.queue) {
    return `waiting ${state.queue.place}`;
  }
  if (isCounted(left)) {
    return `${state.hibernates ? 'sleeps' : 'stops'} in ${clock(left)}`;
  }
  return LABELS[state.phase] ?? state.phase.toLowerCase();
}

/** In sentences. */
export function tooltip(state: State, left: number | null): string {
  const lines = [state.text && capital(state.text)];
  if (left !== null) {
    const at = new Date(Date.now() + left * 1000).toLocaleTimeString();
    const what = state.hibernates
      ? 'the kernel sleeps, with its variables saved,'
      : 'the kernel stops, and its variables are gone,';
    lines.push(`Unless a cell runs, ${what} at ${at}.`);
  }
  return lines.filter(Boolean).join('\n') || `The kernel is ${label(state, null)}.`;
}

/** Whether the seconds that are left are counted. */
export function isCounted(left: number | null): left is number {
  return left !== null && left <= COUNTDOWN;
}

/** Whether what a widget says reaches no kernel. */
export function isAway(state: State): boolean {
  return !['Running', 'Hibernating'].includes(state.phase);
}

/** A number of things in words. */
export function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`;
}

function clock(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
