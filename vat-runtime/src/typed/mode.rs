//! How a method of a typed reference goes out: as a call or as a message, in a turn or
//! at once. Owns [`Mode`].

use std::fmt;

use crate::convert::FromValue;
use crate::typed::Answer;
use crate::typed::answer::checked;
use crate::{Args, Fault, Ref, Turn};

/// One of the ways in which the methods of a typed reference go out, and what they
/// give then.
pub trait Mode: Sized + sealed::Sealed {
    /// What a method gives that answers with `T`, which comes to `S` in the end: the
    /// same, unless `T` is an `Answer<S>`.
    type Outcome<T: FromValue, S: FromValue>;

    /// Calls, or sends the message.
    fn perform<T: FromValue, S: FromValue>(self, to: &Ref, args: Args) -> Self::Outcome<T, S>;
}

mod sealed {
    pub trait Sealed {}
}

/// Calls within the vat, as [`Turn::call`]: gives `Result<T, Fault>`.
pub struct Calling<'a, 't>(&'a mut Turn<'t>);

/// Sends when the turn ends well, as [`Turn::send`]: gives [`Answer<S>`](Answer).
pub struct Sending<'a, 't>(&'a mut Turn<'t>);

/// Sends when the turn ends well and wants no answer, as [`Turn::send_only`].
pub struct SendingOnly<'a, 't>(&'a mut Turn<'t>);

/// Sends at once and wants no answer, as [`Ref::send_only`].
pub struct SendingOnlyNow;

macro_rules! in_turn {
    ($($name:ident)*) => {$(
        impl<'a, 't> $name<'a, 't> {
            #[doc(hidden)]
            #[must_use]
            pub const fn new(turn: &'a mut Turn<'t>) -> Self {
                Self(turn)
            }
        }

        impl sealed::Sealed for $name<'_, '_> {}

        impl fmt::Debug for $name<'_, '_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

in_turn! { Calling Sending SendingOnly }

impl sealed::Sealed for SendingOnlyNow {}

impl fmt::Debug for SendingOnlyNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendingOnlyNow")
    }
}

impl Mode for Calling<'_, '_> {
    type Outcome<T: FromValue, S: FromValue> = Result<T, Fault>;

    fn perform<T: FromValue, S: FromValue>(self, to: &Ref, args: Args) -> Result<T, Fault> {
        self.0.call(to, args).and_then(checked)
    }
}

impl Mode for Sending<'_, '_> {
    type Outcome<T: FromValue, S: FromValue> = Answer<S>;

    fn perform<T: FromValue, S: FromValue>(self, to: &Ref, args: Args) -> Answer<S> {
        Answer::from_promise(self.0.send(to, args))
    }
}

impl Mode for SendingOnly<'_, '_> {
    type Outcome<T: FromValue, S: FromValue> = ();

    fn perform<T: FromValue, S: FromValue>(self, to: &Ref, args: Args) {
        self.0.send_only(to, args);
    }
}

impl Mode for SendingOnlyNow {
    type Outcome<T: FromValue, S: FromValue> = ();

    fn perform<T: FromValue, S: FromValue>(self, to: &Ref, args: Args) {
        to.send_only(args);
    }
}
