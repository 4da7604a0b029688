// A JupyterLab tab without a browser: @jupyterlab/services opens the notebook at argv[5], whose
// kernel is to be argv[6], on the server argv[2], with the headers in argv[3] (JSON) and the token
// in argv[4], if any. As in JupyterLab, a notebook that has a session keeps it.
//
// It prints {"session": model} and then what the tab is told, a line each: {"message"},
// {"status"}, {"connection"}. Lines of stdin are {"execute": code}, answered by {"sent": id of the
// message}, {"interrupt": true} and {"restart": true}, answered by {"done": true} or {"failed"}.
import readline from 'node:readline';
import services from '@jupyterlab/services';
import WebSocket from 'ws';

// The client writes debug lines to stdout, which is ours to answer on.
console.debug = console.error;
const { KernelManager, ServerConnection, SessionManager } = services;
const [url, headers, token, path, name] = process.argv.slice(2);
const say = value => process.stdout.write(JSON.stringify(value) + '\n');

const serverSettings = ServerConnection.makeSettings({
  baseUrl: url + '/',
  wsUrl: url.replace('http', 'ws') + '/',
  init: { headers: JSON.parse(headers) },
  token,
  appendToken: token !== '',
  WebSocket
});
const kernelManager = new KernelManager({ serverSettings });
const sessionManager = new SessionManager({ serverSettings, kernelManager });
await sessionManager.ready;
const model = await sessionManager.findByPath(path);
const session = model
  ? sessionManager.connectTo({ model })
  : await sessionManager.startNew({ path, name: path, type: 'notebook', kernel: { name } });
const kernel = session.kernel;
kernel.anyMessage.connect((_, { msg, direction }) => {
  if (direction === 'recv') {
    say({ message: { ...msg, buffers: [] } });
  }
});
kernel.statusChanged.connect((_, status) => say({ status }));
kernel.connectionStatusChanged.connect((_, connection) => say({ connection }));
say({ session: session.model });

for await (const line of readline.createInterface({ input: process.stdin })) {
  const wish = JSON.parse(line);
  if ('execute' in wish) {
    const future = kernel.requestExecute({ code: wish.execute }, false);
    future.done.catch(error => console.error(error)); // a reply that never comes is seen as that
    say({ sent: future.msg.header.msg_id });
  } else {
    const asked = 'interrupt' in wish ? kernel.interrupt() : kernel.restart();
    asked.then(
      () => say({ done: true }),
      error => say({ failed: String(error) })
    );
  }
}
