//! Model checking with stateright: leader election in the abstract.
