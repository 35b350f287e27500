//! Where tests run models: on the CPU, or on a GPU where `CLAW_TEST_DEVICE` is `Cuda`.

use claw_inference::Device;

pub(crate) fn device() -> Device {
    let wanted = std::env::var("CLAW_TEST_DEVICE").unwrap_or_default();
    match wanted.as_str() {
        "" | "Cpu" => Device::Cpu,
        "Cuda" => Device::Cuda,
        other => panic!("CLAW_TEST_DEVICE is {other}: set it to Cpu or Cuda"),
    }
}

/// On a GPU decoders compute in 16 bits, and everything else adds in another order.
pub(crate) fn is_on_cpu() -> bool {
    device() == Device::Cpu
}
