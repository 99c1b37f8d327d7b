// Records the messages of an Endo peer's connections, as they are on the wire but for
// the framing: a file for each connection, with a line for each message, of its number,
// who sent it (`endo` or `here`), its operation and its bytes in hex.

import { openSync, writeSync } from 'node:fs';

const CLOSING = { '[': ']', '<': '>', '{': '}', '(': ')', '#': '$' };

/** Where the Syrup value at `bytes[at]` ends. */
const endOf = (bytes, at) => {
  const first = String.fromCharCode(bytes[at]);
  if (first === 't' || first === 'f') return at + 1;
  if (first === 'D') return at + 9;
  const closing = CLOSING[first];
  if (closing !== undefined) {
    let end = at + 1;
    while (String.fromCharCode(bytes[end]) !== closing) {
      end = endOf(bytes, end);
    }
    return end + 1;
  }
  let end = at;
  while (bytes[end] >= 48 && bytes[end] <= 57) {
    end += 1;
  }
  const isInteger = '+-'.includes(String.fromCharCode(bytes[end]));
  return end + 1 + (isInteger ? 0 : Number(Buffer.from(bytes.subarray(at, end)).toString()));
};

/** `handlers`, whose connections are recorded in files that begin with `path`. */
export const recorded = (handlers, path) => {
  const notes = new Map();
  let connections = 0;
  const newNote = () => {
    connections += 1;
    const file = openSync(`${path}-${connections}.hex`, 'w');
    let number = 0;
    return (sender, chunk) => {
      for (let at = 0; at < chunk.length; ) {
        const end = endOf(chunk, at);
        const message = Buffer.from(chunk.subarray(at, end));
        const [, operation] = /^<\d+'(op:[a-z-]*)/.exec(message.toString('latin1'));
        number += 1;
        writeSync(file, `${number} ${sender} ${operation} ${message.toString('hex')}\n`);
        at = end;
      }
    };
  };
  return harden({
    ...handlers,
    makeConnection: (netlayer, isOutgoing, socket) => {
      const note = newNote();
      const write = bytes => {
        note('endo', bytes);
        socket.write(bytes);
      };
      const connection = handlers.makeConnection(netlayer, isOutgoing, {
        write,
        end: () => socket.end(),
      });
      notes.set(connection, note);
      return connection;
    },
    handleMessageData: (connection, data) => {
      notes.get(connection)('here', data);
      handlers.handleMessageData(connection, data);
    },
  });
};
