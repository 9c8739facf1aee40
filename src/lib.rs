pub mod demo;
pub mod domain;
pub mod env;
pub mod http;
pub mod render;
pub mod sink;
pub mod source;
pub mod store;
