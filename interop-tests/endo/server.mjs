// Serves the well-known objects until its standard input ends.
//   node --expose-gc server.mjs [--framing=none|syrup] [--record=PATH] TRANSPORT…
// Prints the peer's URI for each transport, one a line.

import { openPeer, positional, serve, uriOf } from './peer.mjs';

const { client, locations } = await openPeer(positional);
serve(client);
for (const location of locations) {
  console.log(uriOf(location));
}
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
