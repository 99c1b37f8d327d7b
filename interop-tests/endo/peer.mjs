// An Endo peer: its netlayers, its locations as URIs, and the well-known objects.
//
// @endo/ocapn comes from the folder that ENDO_OCAPN_PREFIX names, whose node_modules
// holds it.

import { createRequire } from 'node:module';
import { randomBytes } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';

const prefix = process.env.ENDO_OCAPN_PREFIX;
if (!prefix) {
  console.error('ENDO_OCAPN_PREFIX names no folder whose node_modules holds @endo/ocapn');
  process.exit(2);
}
const { resolve } = createRequire(pathToFileURL(`${prefix}/`));
const load = name => import(pathToFileURL(resolve(name)));

// Lockdown takes the collector away.
const { gc } = globalThis;
await load('@endo/init');
export const { E } = await load('@endo/eventual-send');
export const { Far } = await load('@endo/marshal');
const { makeTagged, nameForPassableSymbol, passableSymbolForName } =
  await load('@endo/pass-style');
const { makeClient, swissnumFromBytes, swissnumToBytes } = await load('@endo/ocapn');
const { makeTcpNetLayer } = await load('@endo/ocapn/netlayer/tcp-testing');
const { makeWebSocketNetLayer } = await load('@endo/ocapn/netlayer/ws');
const { recorded } = await import('./record.mjs');

export { makeTagged, passableSymbolForName as symbol, sleep };

const encoder = new TextEncoder();

/** A byte array as Endo passes it. */
export const bytes = of => swissnumFromBytes(typeof of === 'string' ? encoder.encode(of) : of);

/** Command line: `--name=value` or `--name`, and the rest. */
export const [flags, positional] = (() => {
  const isFlag = word => word.startsWith('--');
  const words = process.argv.slice(2);
  const named = words.filter(isFlag).map(word => {
    const [name, value = true] = word.slice(2).split('=');
    return [name, value];
  });
  return [Object.fromEntries(named), words.filter(word => !isFlag(word))];
})();

/** The swiss numbers of the well-known objects; see src/objects.rs. */
export const SWISS = {
  'car-factory-builder': 'JadQ0++RzsD4M+40uLxTWVaVqM10DcBJ',
  echo: 'IO58l1laTyhcrgDKbEzFOO32MDd6zE5w',
  greeter: 'VMDDd1voKWarCe2GvgLbxbVFysNzRPzx',
  'promise-resolver': 'IokCxYmMj04nos2JN1TDoY1bT8dXh6Lr',
  'sturdyref-enlivener': 'gi02I1qghIwPiKGKleCQAOhpy3ZtYRpB',
  caller: 'interop-caller-object-0000000000',
  mailbox: 'interop-mailbox-object-000000000',
};

/** `<ocapn-peer …>` for a peer's URI. */
export const locationOf = uri => {
  const { hostname, searchParams } = new URL(uri);
  const dot = hostname.lastIndexOf('.');
  const hints = Object.fromEntries(searchParams);
  return harden({
    type: 'ocapn-peer',
    transport: hostname.slice(dot + 1),
    designator: hostname.slice(0, dot),
    hints: Object.keys(hints).length > 0 ? hints : false,
  });
};

/** The URI of a peer's location. */
export const uriOf = ({ designator, transport, hints }) =>
  `ocapn://${designator}.${transport}?${new URLSearchParams(hints)}`;

const netlayers = {
  'tcp-testing-only': (handlers, logger) =>
    makeTcpNetLayer({
      handlers,
      logger,
      specifiedDesignator: randomBytes(16).toString('hex'),
      framing: flags.framing ?? 'none',
    }),
  websocket: (handlers, logger) => makeWebSocketNetLayer({ handlers, logger }),
};

/**
 * A peer on those transports, whose collector runs every 100 ms.
 * Gives its client and its location on each transport.
 */
export const openPeer = async transports => {
  if (!gc) {
    throw Error('start Node with --expose-gc');
  }
  const quiet = () => {};
  const client = makeClient({
    debugMode: true,
    logger: harden({
      log: quiet,
      info: flags.verbose ? console.error : quiet,
      error: console.error,
    }),
  });
  const locations = [];
  for (const transport of transports) {
    const { location } = await client.registerNetlayer((handlers, logger) => {
      const record = flags.record;
      return netlayers[transport](record ? recorded(handlers, record) : handlers, logger);
    });
    locations.push(location);
  }
  setInterval(gc, 100).unref();
  return { client, locations };
};

/** The object behind a sturdyref to one of the well-known objects there. */
export const enliven = ({ client }, location, name) =>
  client.enlivenSturdyRef(sturdyref({ client }, location, name));

export const sturdyref = ({ client }, location, name) =>
  client.makeSturdyRef(location, bytes(SWISS[name] ?? name));

/** Registers the well-known objects. */
export const serve = client => {
  const letters = [];
  const car = sound => Far('car', () => sound);
  const objects = {
    'car-factory-builder': () =>
      Far('car factory', ([color, model]) => {
        const [a, b] = [color, model].map(nameForPassableSymbol);
        if (a === undefined || b === undefined) {
          throw Error('a car factory wants a list of a color symbol and a model symbol');
        }
        return car(`Vroom! I am a ${a} ${b} car!`);
      }),
    echo: (...args) => args,
    greeter: stranger => {
      // A question, whose promise is let go of.
      E(stranger)('Hello').catch(() => {});
    },
    'promise-resolver': () => {
      let settle;
      const promise = new Promise((fulfill, reject) => {
        settle = { fulfill, break: reject };
      });
      return [promise, Far('resolver', settle)];
    },
    'sturdyref-enlivener': ref => client.enlivenSturdyRef(ref),
    caller: (callee, ...args) => E(callee)(...args),
    mailbox: (...args) => {
      if (args.length === 0) {
        return [...letters];
      }
      letters.push(args);
      return true;
    },
  };
  for (const [name, object] of Object.entries(objects)) {
    client.registerSturdyRef(SWISS[name], Far(name, object));
  }
};

const isBytes = value => {
  try {
    return value !== null && typeof value === 'object' && swissnumToBytes(value);
  } catch {
    return undefined;
  }
};

/** Whether two passables are the same, references by identity. */
export const same = (a, b) => {
  if (Object.is(a, b)) {
    return true;
  }
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return false;
  }
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, at) => same(item, b[at]));
  }
  const [left, right] = [isBytes(a), isBytes(b)];
  if (left && right) {
    return Buffer.compare(left, right) === 0;
  }
  if (a[Symbol.toStringTag] !== b[Symbol.toStringTag]) {
    return false;
  }
  if (Object.getPrototypeOf(a) !== Object.prototype && a.payload === undefined) {
    return false;
  }
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => same(a[key], b[key]));
};

const shown = value => {
  const seen = (_key, part) => {
    if (typeof part === 'bigint') return `${part}n`;
    if (typeof part === 'symbol' || typeof part === 'function') return String(part);
    return part instanceof Error ? `${part}` : part;
  };
  return JSON.stringify(value, seen) ?? String(value);
};

let [passed, failed] = [0, 0];

/** Awaits what `act` gives and says whether `holds` of it. */
export const check = async (name, act, holds) => {
  const settled = await Promise.race([
    Promise.resolve().then(act).then(
      value => ({ how: 'fulfilled', value }),
      value => ({ how: 'broken', value }),
    ),
    sleep(15_000, { how: 'silence' }),
  ]);
  const ok = await holds(settled.value, settled.how);
  if (ok) {
    passed += 1;
    console.log(`ok ${name}`);
  } else {
    failed += 1;
    console.log(`failed ${name} -- ${settled.how} ${shown(settled.value)}`);
  }
};

/** Says how many checks passed and failed, and ends the process. */
export const finish = () => {
  console.log(`passed ${passed}, failed ${failed}`);
  process.exit(failed === 0 ? 0 : 1);
};
