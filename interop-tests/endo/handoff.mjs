// Third-party handoffs: this process is the gifter, the two peers that are named by
// their URIs are exporter and receiver.
//   node --expose-gc handoff.mjs [--framing=none|syrup] [--record=PATH] EXPORTER-URI RECEIVER-URI

import {
  E,
  check,
  enliven,
  finish,
  locationOf,
  openPeer,
  positional,
  same,
  sleep,
  sturdyref,
  symbol,
} from './peer.mjs';

const [exporter, receiver] = positional.map(locationOf);
const peer = await openPeer([...new Set([exporter.transport, receiver.transport])]);
const at = (location, name) => enliven(peer, location, name);
const fulfilled = wanted => (value, how) => how === 'fulfilled' && same(value, wanted);

const echo = await at(exporter, 'echo');
const greeter = await at(exporter, 'greeter');
const mailbox = await at(exporter, 'mailbox');
const echoThere = await at(receiver, 'echo');
const caller = await at(receiver, 'caller');
const only = async answer => (await answer)[0];

await check(
  'the receiver calls the gift',
  () => E(caller)(echo, 1n, 'two', symbol('three')),
  fulfilled([1n, 'two', symbol('three')]),
);
await check('and again, the same gift', () => E(caller)(echo, 'again'), fulfilled(['again']));
await check('two gifts in one message', () => only(E(caller)(echo, greeter)), fulfilled(greeter));
await check(
  "the receiver's greeter greets the gift",
  async () => {
    await E(at(receiver, 'greeter'))(mailbox);
    for (;;) {
      const letters = await E(mailbox)();
      if (letters.length > 0) {
        return letters.at(-1);
      }
      await sleep(20);
    }
  },
  fulfilled(['Hello']),
);
await check(
  'the gift comes back as the same reference',
  () => only(E(echoThere)(echo)),
  fulfilled(echo),
);
await check(
  "the receiver enlivens the exporter's sturdyref",
  () => E(E(at(receiver, 'sturdyref-enlivener'))(sturdyref(peer, exporter, 'echo')))('enlivened'),
  fulfilled(['enlivened']),
);
await check(
  'a gift the other way round',
  () => only(E(echo)(echoThere)),
  fulfilled(echoThere),
);
finish();
