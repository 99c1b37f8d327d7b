//! The well-known objects: those that the public OCapN conformance suite expects at
//! a peer, and two more for handoffs, as actors under their swiss numbers.

use std::sync::Arc;

use ocapn::{Args, Behaviour, Fault, MintError, Node, Reply, SwissNum, Turn, Value, Vat, promise};

/// One of the well-known objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WellKnown {
    /// Called with nothing, gives a factory; that, called with `[color model]`, gives
    /// a car; that, called with nothing, goes Vroom.
    CarFactoryBuilder,
    /// Answers with the list of its arguments and keeps none of them.
    Echo,
    /// Sends "Hello" to the reference it is called with.
    Greeter,
    /// Gives `[promise resolver]`, which answers to `fulfill value` and `break error`.
    PromiseResolver,
    /// Enlivens the sturdyref it is called with and answers with the object.
    SturdyrefEnlivener,
    /// Sends its further arguments to its first, and answers what that answers.
    Caller,
    /// Keeps the arguments of each call; called with nothing, gives all it kept.
    Mailbox,
}

impl WellKnown {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::CarFactoryBuilder,
        Self::Echo,
        Self::Greeter,
        Self::PromiseResolver,
        Self::SturdyrefEnlivener,
        Self::Caller,
        Self::Mailbox,
    ];

    /// The object's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CarFactoryBuilder => "car-factory-builder",
            Self::Echo => "echo",
            Self::Greeter => "greeter",
            Self::PromiseResolver => "promise-resolver",
            Self::SturdyrefEnlivener => "sturdyref-enlivener",
            Self::Caller => "caller",
            Self::Mailbox => "mailbox",
        }
    }

    /// The bytes of the object's swiss number. They are public, so the objects hold
    /// no authority worth having.
    #[must_use]
    pub const fn swiss(self) -> &'static [u8] {
        match self {
            Self::CarFactoryBuilder => b"JadQ0++RzsD4M+40uLxTWVaVqM10DcBJ",
            Self::Echo => b"IO58l1laTyhcrgDKbEzFOO32MDd6zE5w",
            Self::Greeter => b"VMDDd1voKWarCe2GvgLbxbVFysNzRPzx",
            Self::PromiseResolver => b"IokCxYmMj04nos2JN1TDoY1bT8dXh6Lr",
            Self::SturdyrefEnlivener => b"gi02I1qghIwPiKGKleCQAOhpy3ZtYRpB",
            Self::Caller => b"interop-caller-object-0000000000",
            Self::Mailbox => b"interop-mailbox-object-000000000",
        }
    }
}

/// Makes the well-known objects in a vat of the node's and registers them under
/// their swiss numbers, by which every netlayer of the node finds them.
///
/// Keep the vat: the objects end with it. The enlivener holds the node, which ends
/// with [`Node::shutdown`].
///
/// # Errors
///
/// If the node has no netlayer to be reached by.
pub fn serve(node: &Node) -> Result<Vat, MintError> {
    let vat = node.vat("conformance");
    for object in WellKnown::ALL {
        let actor = match object {
            WellKnown::CarFactoryBuilder => vat.spawn(car_factory_builder),
            WellKnown::Echo => vat.spawn(echo),
            WellKnown::Greeter => vat.spawn(greeter),
            WellKnown::PromiseResolver => vat.spawn(promise_resolver),
            WellKnown::SturdyrefEnlivener => vat.spawn(Enlivener(node.clone())),
            WellKnown::Caller => vat.spawn(caller),
            WellKnown::Mailbox => vat.spawn(Mailbox::default()),
        };
        let swiss = SwissNum::new(object.swiss()).expect("the swiss numbers above are well formed");
        node.mint_with(&actor, swiss)?;
    }
    Ok(vat)
}

/// `args` if there are exactly `N`.
fn exactly<const N: usize>(args: Args, wanted: &'static str) -> Result<[Value; N], Fault> {
    args.try_into().map_err(|_| Fault::from(wanted))
}

fn car_factory_builder(turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    let [] = exactly(args, "a car factory builder wants no arguments")?;
    Ok(Reply::value(Value::Ref(turn.spawn(car_factory))))
}

fn car_factory(turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    const WANTED: &str = "a car factory wants a list of a color symbol and a model symbol";
    let [Value::List(order)] = exactly(args, WANTED)? else {
        return Err(WANTED.into());
    };
    let [Value::Symbol(color), Value::Symbol(model)] = exactly(order, WANTED)? else {
        return Err(WANTED.into());
    };
    let sound = format!("Vroom! I am a {color} {model} car!");
    let car = turn.spawn(move |_turn: &mut Turn<'_>, args: Args| {
        let [] = exactly(args, "a car wants no arguments")?;
        Ok(Reply::value(sound.as_str()))
    });
    Ok(Reply::value(Value::Ref(car)))
}

fn echo(_turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    Ok(Reply::value(Value::List(args)))
}

fn greeter(turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    const WANTED: &str = "a greeter wants a reference to greet";
    let [Value::Ref(stranger)] = exactly(args, WANTED)? else {
        return Err(WANTED.into());
    };
    // A question, whose promise is let go of: the suite waits for that release.
    let _let_go = turn.send(&stranger, vec!["Hello".into()]);
    Ok(Reply::value(()))
}

fn promise_resolver(_turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    let [] = exactly(args, "a promise resolver wants no arguments")?;
    let (promise, resolver) = promise();
    let pair = vec![promise.into(), Value::Ref(resolver.into_ref())];
    Ok(Reply::value(Value::List(pair)))
}

fn caller(turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
    if args.is_empty() {
        return Err("a caller wants a reference to call".into());
    }
    let Value::Ref(callee) = args.remove(0) else {
        return Err("a caller wants a reference to call".into());
    };
    Ok(Reply::value(turn.send(&callee, args)))
}

struct Enlivener(Node);

impl Behaviour for Enlivener {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        const WANTED: &str = "an enlivener wants a sturdyref";
        let [Value::Sturdyref(sturdyref)] = exactly(args, WANTED)? else {
            return Err(WANTED.into());
        };
        Ok(Reply::value(self.0.enliven(&sturdyref)))
    }
}

#[derive(Default)]
struct Mailbox(Arc<Vec<Value>>);

impl Behaviour for Mailbox {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        if args.is_empty() {
            return Ok(Reply::value(Value::List(self.0.to_vec())));
        }
        let mut letters = self.0.to_vec();
        letters.push(Value::List(args));
        Ok(Reply::become_with(Self(Arc::new(letters)), true))
    }
}
