//! How the library is linked.

fn main() {
    // It bears the name of the driver's, so that a program which has it loaded finds it under that name.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
    // It uses its own functions without looking them up: a copy for an older driver has some of the names removed.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    println!("cargo::rerun-if-changed=build.rs");
}
