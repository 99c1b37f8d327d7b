@0xf0b7a6a50f4d2c91;

# What the benchmark asks of Cap'n Proto. src/echo_capnp.rs is generated from this:
#
#     cargo install capnpc --version 0.27.0
#     capnp compile -o rust:src echo.capnp        (capnp 0.9.2)

interface Echo {
  # A call that carries something there and back.
  echo @0 (text :Text) -> (text :Text);
  # Much there, little back.
  put @1 (bytes :Data) -> (length :UInt64);
  # Another object.
  next @2 () -> (echo :Echo);
  # Takes a reference, and forgets it.
  forget @3 (echo :Echo) -> ();
  # As many objects as were asked for.
  give @4 (count :UInt32) -> (echoes :List(Echo));
}
