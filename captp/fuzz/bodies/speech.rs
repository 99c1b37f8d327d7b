//! What a peer may say: CapTP of the right shape, about whatever the bytes choose.

use super::Source;

/// One operation.
pub(crate) fn operation(source: &mut Source<'_>, out: &mut Vec<u8>) {
    match source.below(12) {
        0..=4 => {
            record(out, "op:deliver");
            target(source, out);
            arguments(source, out);
            or_false(source, out, |source, out| int(out, source.position()));
            or_false(source, out, |source, out| descriptor(source, out, "desc:import-object"));
        }
        5 => {
            record(out, "op:deliver-only");
            target(source, out);
            arguments(source, out);
        }
        6 => {
            record(out, "op:listen");
            target(source, out);
            descriptor(source, out, "desc:import-object");
            match source.below(3) {
                0 => {}
                1 => out.push(b'f'),
                _ => out.push(b't'),
            }
        }
        7 => {
            let (label, named) = match source.below(3) {
                0 => ("op:get", true),
                1 => ("op:untag", true),
                _ => ("op:index", false),
            };
            record(out, label);
            target(source, out);
            if named {
                string(out, "key")
            } else {
                int(out, source.position())
            }
            int(out, source.position());
        }
        8 | 9 => {
            record(out, if source.below(4) == 0 { "op:gc-export" } else { "op:gc-exports" });
            let count = source.below(4);
            for _list in 0..2 {
                out.push(b'[');
                (0..count).for_each(|_| int(out, source.position()));
                out.push(b']');
            }
        }
        10 => {
            record(out, if source.below(4) == 0 { "op:gc-answer" } else { "op:gc-answers" });
            out.push(b'[');
            (0..source.below(4)).for_each(|_| int(out, source.position()));
            out.push(b']');
        }
        _ => {
            record(out, "op:flush");
            target(source, out);
            descriptor(source, out, "desc:import-object");
        }
    }
    out.push(b'>');
}

fn arguments(source: &mut Source<'_>, out: &mut Vec<u8>) {
    out.push(b'[');
    match source.below(6) {
        0 => symbol(out, "fulfill"),
        1 => symbol(out, "break"),
        2 => {
            symbol(out, "deposit-gift");
            bytes(out, b"gift");
        }
        3 => {
            symbol(out, "fetch");
            bytes(out, b"swiss");
        }
        _ => {}
    }
    (0..source.below(4)).for_each(|_| value(source, out, 5));
    out.push(b']');
}

/// A value of at most that depth.
pub(crate) fn value(source: &mut Source<'_>, out: &mut Vec<u8>, depth: u8) {
    let kinds = if depth == 0 { 13 } else { 20 };
    match source.below(kinds) {
        0..=2 => descriptor(source, out, "desc:import-object"),
        3 => descriptor(source, out, "desc:import-promise"),
        4 => descriptor(source, out, "desc:export"),
        5 => descriptor(source, out, "desc:answer"),
        6 => int(out, source.position()),
        7 => string(out, "text"),
        8 => symbol(out, "name"),
        9 => bytes(out, b"bytes"),
        10 => out.extend_from_slice(b"<4'void>"),
        11 => out.extend_from_slice(b"D\x7f\xf0\0\0\0\0\0\x01"),
        12 => out.extend_from_slice(b"<16'exn:fail:mystery>"),
        13 | 14 => {
            out.push(b'[');
            (0..source.below(4)).for_each(|_| value(source, out, depth - 1));
            out.push(b']');
        }
        15 => {
            out.push(b'#');
            value(source, out, depth - 1);
            out.push(b'$');
        }
        16 => {
            out.push(b'{');
            if source.below(2) == 0 {
                string(out, "key")
            } else {
                symbol(out, "key")
            }
            value(source, out, depth - 1);
            out.push(b'}');
        }
        kind => {
            record(out, ["desc:tagged", "desc:error", "user-record"][usize::from(kind % 3)]);
            if kind % 3 == 1 {
                string(out, "tag")
            } else {
                symbol(out, "tag")
            }
            (0..1 + source.below(2)).for_each(|_| value(source, out, depth - 1));
            out.push(b'>');
        }
    }
}

fn target(source: &mut Source<'_>, out: &mut Vec<u8>) {
    let label = if source.below(4) == 0 { "desc:answer" } else { "desc:export" };
    descriptor(source, out, label);
}

fn descriptor(source: &mut Source<'_>, out: &mut Vec<u8>, label: &str) {
    record(out, label);
    int(out, source.position());
    out.push(b'>');
}

fn or_false(
    source: &mut Source<'_>,
    out: &mut Vec<u8>,
    some: impl FnOnce(&mut Source<'_>, &mut Vec<u8>),
) {
    if source.below(3) == 0 { out.push(b'f') } else { some(source, out) }
}

pub(crate) fn record(out: &mut Vec<u8>, label: &str) {
    out.push(b'<');
    symbol(out, label);
}

pub(crate) fn symbol(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(format!("{}'{name}", name.len()).as_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{}\"{text}", text.len()).as_bytes());
}

pub(crate) fn bytes(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(format!("{}:", content.len()).as_bytes());
    out.extend_from_slice(content);
}

fn int(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(format!("{value}+").as_bytes());
}
