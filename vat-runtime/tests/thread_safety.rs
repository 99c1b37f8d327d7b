//! What may move between threads, checked by the compiler.

use vat_runtime::{
    Args, Behaviour, Fault, Manual, OwnThread, Promise, ReadyVat, Ref, Reply, Resolver, Settling,
    Value, Vat, WeakRef,
};

const fn shared<T: Send + Sync + 'static>() {}

const _: () = {
    shared::<Ref>();
    shared::<WeakRef>();
    shared::<Promise>();
    shared::<Resolver>();
    shared::<Settling>();
    shared::<Value>();
    shared::<Args>();
    shared::<Fault>();
    shared::<Reply>();
    shared::<Vat>();
    shared::<ReadyVat>();
    shared::<Manual>();
    shared::<OwnThread>();
    shared::<Box<dyn Behaviour>>();
};
