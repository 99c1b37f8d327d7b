// Checks a peer's well-known objects from an Endo peer.
//   node --expose-gc client.mjs [--framing=none|syrup] [--record=PATH] PEER-URI
// Prints a line per check; exits with 0 only when all of them held.

import {
  E,
  Far,
  SWISS,
  bytes,
  check,
  enliven,
  finish,
  flags,
  locationOf,
  makeTagged,
  openPeer,
  positional,
  same,
  serve,
  sleep,
  sturdyref,
  symbol,
} from './peer.mjs';

const remote = locationOf(positional[0]);
const peer = await openPeer([remote.transport]);
const { client, locations } = peer;
serve(client);

const { ocapn } = await client._debug.provideInternalSession(remote);
const { ocapnTable, subscribeMessages } = ocapn._debug;
const released = { exports: 0, answers: 0 };
subscribeMessages((direction, message) => {
  if (direction === 'receive' && message.type === 'op:gc-exports') {
    released.exports += message.exportPositions.length;
  }
  if (direction === 'receive' && message.type === 'op:gc-answers') {
    released.answers += message.answerPositions.length;
  }
});

// Everything below is pipelined on the bootstrap object.
const bootstrap = ocapn.getRemoteBootstrap();
const object = name => E(bootstrap).fetch(bytes(SWISS[name] ?? name));
const fulfilled = wanted => (value, how) => how === 'fulfilled' && same(value, wanted);
const broken = (_value, how) => how === 'broken';

const echo = await object('echo');
const echoes = (name, ...args) =>
  check(`echo ${name}`, () => E(echo)(...args), fulfilled(harden(args)));

await check('enliven echo', () => enliven(peer, remote, 'echo'), fulfilled(echo));

const big = 7n ** 200n;
await echoes('nothing');
await echoes('small integers', 0n, 1n, -1n, 127n, -128n, 65536n);
await echoes('64-bit edges', 2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n);
await echoes('big integers', big, -big);
await echoes('strings', '', 'hello', 'h\u00e9llo \u4e16\u754c');
if (!flags.record) {
  await echoes('a long string', 'x'.repeat(20_000));
  await echoes('many bytes', bytes(new Uint8Array(40_000).fill(90)));
}
await echoes('symbols', symbol('a'), symbol('fetch'), symbol('with space'));
await echoes('bytes', bytes(''), bytes(new Uint8Array([0, 1, 2, 255])));
await echoes('booleans', true, false);
await echoes('floats', 0, -1.5, 3.141592653589793, 1e300, Infinity, -Infinity, NaN);
await echoes('lists', [], [1n, 2n, 3n], ['a', symbol('b'), true, 1.5]);
await echoes('nested', [1n, [2n, [3n, [4n, ['five', [symbol('six'), bytes('7')]]]]]]);
await echoes('structs', {}, { name: 'Alyssa', b: [1n], nested: { k: 1n } });
await echoes('a struct of keys of several lengths', {
  aa: 1n,
  b: 2n,
  abc: { zz: 3n, y: 4n, tenletters: 5n },
});
await echoes('undefined and null', undefined, null);
await echoes('a tagged value', makeTagged('colour', harden([1n, 2n])));
await echoes('many', ...Array.from({ length: 40 }, (_, n) => BigInt(n)));
await check(
  'echo an error',
  () => E(echo)(harden(Error('a reason'))),
  (value, how) => how === 'fulfilled' && `${value}`.includes('a reason'),
);

// References come back as the same reference.
const mine = Far('mine', (...args) => ['mine', ...args]);
await echoes('a local object', mine);
await echoes('a local object twice', mine, harden([mine]));
await echoes("the peer's own object", echo);
let keep;
const promise = new Promise(fulfil => {
  keep = fulfil;
});
await check(
  'echo a local promise, which then fulfils',
  async () => {
    const [back] = await E(echo)(promise);
    keep('later');
    return back;
  },
  fulfilled('later'),
);

// The peer calls one of ours.
await check(
  'greeter says Hello',
  () =>
    new Promise(hear => {
      E(object('greeter'))(Far('stranger', (...args) => hear(args)));
    }),
  fulfilled(['Hello']),
);
await check('caller passes an answer on', () => E(object('caller'))(mine, 1n), fulfilled(['mine', 1n]));
await check(
  'caller passes a refusal on',
  () =>
    E(object('caller'))(
      Far('refuses', () => {
        throw Error('refused');
      }),
    ),
  broken,
);

// Pipelining: nothing below is awaited until the end.
const order = harden([symbol('red'), symbol('zoomracer')]);
const vroom = 'Vroom! I am a red zoomracer car!';
await check(
  'pipelined car',
  () => E(E(E(object('car-factory-builder'))())(order))(),
  fulfilled(vroom),
);
await check(
  'pipelined break',
  () => E(E(E(object('car-factory-builder'))())(harden([1n, 2n, 3n])))(),
  broken,
);
await check(
  'fifty pipelined cars',
  () => {
    const factory = E(object('car-factory-builder'))();
    return Promise.all(Array.from({ length: 50 }, () => E(E(factory)(order))()));
  },
  fulfilled(Array(50).fill(vroom)),
);
await check(
  'an element of an answer (op:index)',
  () => E.get(E(echo)('zero', 'one'))[1],
  fulfilled('one'),
);
await check(
  'a field of an element of an answer (op:get)',
  () => E.get(E.get(E(echo)(harden({ key: 'value' })))[0]).key,
  fulfilled('value'),
);
await check('a field that is not there', () => E.get(E(echo)('zero'))[7], broken);
await check(
  'letters arrive in order',
  async () => {
    const mailbox = object('mailbox');
    const run = `${Math.random()}`;
    for (let n = 0n; n < 50n; n += 1n) {
      E.sendOnly(mailbox)(run, n);
    }
    const kept = await E(mailbox)();
    return kept.filter(([of]) => of === run).map(([, n]) => n);
  },
  fulfilled(Array.from({ length: 50 }, (_, n) => BigInt(n))),
);

// The peer's promises.
const through = async (verb, value) => {
  const [theirs, resolver] = await E(object('promise-resolver'))();
  E.sendOnly(resolver)(symbol(verb), value);
  return theirs;
};
await check('a promise fulfils', () => through('fulfill', harden([42n, 'done'])), fulfilled([42n, 'done']));
await check('a promise breaks', () => through('break', 'on purpose'), broken);
await check(
  'a promise fulfils with an object, and passes messages on',
  async () => {
    const [theirs, resolver] = await E(object('promise-resolver'))();
    const early = E(theirs)('early');
    E.sendOnly(resolver)(symbol('fulfill'), echo);
    return early;
  },
  fulfilled(['early']),
);

// Sturdyrefs.
await check(
  'enlivener, a sturdyref to itself',
  () => E(E(object('sturdyref-enlivener'))(sturdyref(peer, remote, 'echo')))('self'),
  fulfilled(['self']),
);
await check(
  'enlivener, a sturdyref to us',
  () => E(E(object('sturdyref-enlivener'))(sturdyref(peer, locations[0], 'echo')))('us'),
  fulfilled(['us']),
);
await check('an unknown swiss number breaks', () => object('no such object'), broken);

// Garbage. The table forgets an export when the peer has let go of it as often as it
// was sent.
const forgotten = async value => {
  while (ocapnTable.getSlotForValue(value) !== undefined) {
    await sleep(20);
  }
  return true;
};
await check(
  'the peer lets go of what it was sent',
  async () => {
    const gift = Far('gift', () => 'gift');
    await E(echo)(gift, harden([gift]));
    await E(echo)(gift);
    return forgotten(gift);
  },
  fulfilled(true),
);
await check(
  'the peer lets go of its answers',
  async () => {
    const before = released.answers;
    await E(object('greeter'))(Far('stranger', () => 'hello yourself'));
    while (released.answers === before) {
      await sleep(20);
    }
    return true;
  },
  fulfilled(true),
);
await check(
  'the peer goes on after we let go of what it exports',
  async () => {
    for (let n = 0; n < 20; n += 1) {
      await E(object('car-factory-builder'))();
      await sleep(20);
    }
    return E(echo)('still there');
  },
  fulfilled(['still there']),
);

finish();
