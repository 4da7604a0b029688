// A JupyterLab tab without a browser: @jupyterlab/services opens a notebook session at argv[2],
// with the headers in argv[3] (JSON) and the token in argv[4], if any. It prints {"kernel": id}, then executes each line of stdin
// (a JSON string) and prints {"reply", "outputs"}, and at the end of stdin
// {"statuses", "connections"}: all that the tab was told about its kernel.
import readline from 'node:readline';
import services from '@jupyterlab/services';
import WebSocket from 'ws';

// The client writes debug lines to stdout, which is ours to answer on.
console.debug = console.error;
const { KernelManager, ServerConnection, SessionManager } = services;
const [url, headers, token] = [process.argv[2], JSON.parse(process.argv[3]), process.argv[4]];
const say = value => process.stdout.write(JSON.stringify(value) + '\n');

const serverSettings = ServerConnection.makeSettings({
  baseUrl: url + '/',
  wsUrl: url.replace('http', 'ws') + '/',
  init: { headers },
  token,
  appendToken: token !== '',
  WebSocket
});
const kernelManager = new KernelManager({ serverSettings });
const sessionManager = new SessionManager({ serverSettings, kernelManager });
const path = `jupyterlab-${process.pid}.ipynb`;
const session = await sessionManager.startNew({
  path,
  name: path,
  type: 'notebook',
  kernel: { name: 'python3' }
});
const kernel = session.kernel;
const seen = { statuses: [], connections: [] };
kernel.statusChanged.connect((_, status) => seen.statuses.push(status));
kernel.connectionStatusChanged.connect((_, status) => seen.connections.push(status));
say({ kernel: kernel.id });

for await (const line of readline.createInterface({ input: process.stdin })) {
  const future = session.kernel.requestExecute({ code: JSON.parse(line) });
  const outputs = [];
  future.onIOPub = message => {
    const { msg_type } = message.header;
    if (!['status', 'execute_input'].includes(msg_type)) {
      outputs.push({ type: msg_type, content: message.content });
    }
  };
  const reply = await future.done;
  say({ reply: reply.content, outputs });
}
await session.shutdown();
say(seen);
process.exit(0);
