//! Netlayers: ordered two-way byte channels to an OCapN locator.
