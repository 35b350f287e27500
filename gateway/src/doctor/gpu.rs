//! Whether local models can run on an NVIDIA GPU: device files, driver, GPUs with their memory, the ONNX Runtime library,
//! and the CUDA libraries that it needs.

use std::fs;
use std::path::{Path, PathBuf};

use claw_inference::runtime;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::check::{Check, Report};
use super::libraries::{self, Search};

/// The part of ONNX Runtime that speaks CUDA.
const PROVIDER: &str = "libonnxruntime_providers_cuda.so";
const NO_DEVICE: &str = "run where a GPU is: in a container by accelerator.type Nvidia (or docker run --gpus all), with the \
NVIDIA container toolkit on the node";

/// Look at everything below `root`.
pub(super) fn examine(root: &Path) -> Report {
    let mut checks = vec![devices(root), driver(root)];
    checks.extend(gpus());
    checks.extend(onnx_runtime(root));
    Report::new(checks)
}

/// The files by which programs reach the driver.
fn devices(root: &Path) -> Check {
    const NAME: &str = "devices";
    let listed = fs::read_dir(root.join("dev"))
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<_> = listed
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("nvidia") || name == "dxg")
        .collect();
    names.sort();
    let is_gpu = |name: &String| {
        name == "dxg"
            || name
                .strip_prefix("nvidia")
                .is_some_and(|number| number.parse::<u32>().is_ok())
    };
    if names.iter().any(is_gpu) {
        return Check::good(NAME, format!("/dev/{}", names.join(", /dev/")));
    }
    let hidden = std::env::var("NVIDIA_VISIBLE_DEVICES").is_ok_and(|shown| shown == "void");
    if hidden {
        let found = "NVIDIA_VISIBLE_DEVICES is void, which hides every GPU from this container";
        return Check::missing(NAME, found, "set accelerator.type to Auto or Nvidia");
    }
    Check::missing(NAME, "there is no /dev/nvidia0", NO_DEVICE)
}

/// The kernel's part.
fn driver(root: &Path) -> Check {
    const NAME: &str = "driver";
    match fs::read_to_string(root.join("proc/driver/nvidia/version")) {
        Ok(text) => {
            let line = text.lines().next().unwrap_or_default();
            Check::good(NAME, line.trim_start_matches("NVRM version:").trim())
        }
        Err(_) if root.join("dev/dxg").exists() => Check::good(NAME, "that of Windows"),
        Err(_) => Check::missing(
            NAME,
            "the NVIDIA kernel module is not loaded",
            "install the NVIDIA driver on the node",
        ),
    }
}

/// What the driver says of its GPUs.
fn gpus() -> Vec<Check> {
    const NAME: &str = "GPUs";
    let told = || -> Result<Vec<Check>, NvmlError> {
        let nvml = Nvml::init()?;
        let cuda = nvml.sys_cuda_driver_version()?;
        let version = nvml.sys_driver_version()?;
        let found = format!(
            "driver {version}, up to CUDA {}.{}",
            cuda / 1000,
            cuda % 1000 / 10
        );
        let mut checks = vec![Check::good("driver library", found)];
        let count = nvml.device_count()?;
        for index in 0..count {
            checks.push(gpu(&nvml, index)?);
        }
        if count == 0 {
            checks.push(Check::missing(NAME, "the driver has none", NO_DEVICE));
        }
        Ok(checks)
    };
    told().unwrap_or_else(|error| {
        let remedy = "install the driver's libraries (libnvidia-ml.so.1, libcuda.so.1); in a container, set \
                      NVIDIA_DRIVER_CAPABILITIES to compute,utility";
        vec![Check::missing(NAME, error.to_string(), remedy)]
    })
}

fn gpu(nvml: &Nvml, index: u32) -> Result<Check, NvmlError> {
    let device = nvml.device_by_index(index)?;
    let memory = device.memory_info()?;
    let capability = device.cuda_compute_capability()?;
    Ok(Check::good(
        "GPU",
        format!(
            "{}, compute capability {}.{}, {} of {} MiB of memory free",
            device.name()?,
            capability.major,
            capability.minor,
            memory.free >> 20,
            memory.total >> 20
        ),
    ))
}

/// The library that runs models, and what it needs for CUDA.
fn onnx_runtime(root: &Path) -> Vec<Check> {
    const NAME: &str = "ONNX Runtime";
    let remedy =
        "use the image with CUDA, or set ORT_DYLIB_PATH to libonnxruntime.so of a build for GPUs";
    let library = match runtime::init(None) {
        Ok(()) => std::env::var_os(runtime::LIBRARY_VARIABLE).map(PathBuf::from),
        Err(error) => return vec![Check::missing(NAME, crate::config::chain(&error), remedy)],
    };
    let library = library
        .and_then(|path| path.canonicalize().ok())
        .unwrap_or_default();
    let shown = library.display();
    match runtime::has_cuda() {
        Ok(true) => {}
        Ok(false) => {
            let found = format!("{shown} is a build without CUDA");
            return vec![Check::missing(NAME, found, remedy)];
        }
        Err(error) => return vec![Check::missing(NAME, crate::config::chain(&error), remedy)],
    }
    let good = Check::good(NAME, format!("{shown}, with CUDA"));
    let provider = library.with_file_name(PROVIDER);
    if !provider.is_file() {
        let found = format!("{} is not beside it", provider.display());
        return vec![good, Check::missing("CUDA provider", found, remedy)];
    }
    let search = Search::of(root, &provider);
    vec![good, cuda_libraries(&search, &provider), cudnn(&search)]
}

/// What the provider needs.
fn cuda_libraries(search: &Search, provider: &Path) -> Check {
    const NAME: &str = "CUDA libraries";
    let needed = match libraries::needed_by(provider) {
        Ok(needed) => needed,
        Err(error) => {
            let found = format!("{} cannot be read: {error}", provider.display());
            return Check::unsure(NAME, found, "check that the file is whole");
        }
    };
    let of_cuda = |name: &&String| libraries::is_of_cuda(name);
    let (found, missing): (Vec<_>, Vec<_>) = needed
        .iter()
        .filter(of_cuda)
        .partition(|name| search.finds(name));
    if missing.is_empty() {
        let names: Vec<_> = found.into_iter().cloned().collect();
        return Check::good(NAME, names.join(", "));
    }
    let names: Vec<_> = missing.into_iter().cloned().collect();
    Check::missing(
        NAME,
        format!("not found: {}", names.join(", ")),
        "install CUDA of this version, or name their folder in LD_LIBRARY_PATH",
    )
}

/// What the provider opens when a graph asks for it. Those of our importers do not.
fn cudnn(search: &Search) -> Check {
    const NAME: &str = "cuDNN";
    const LIBRARY: &str = "libcudnn.so.9";
    if search.finds(LIBRARY) {
        return Check::good(NAME, LIBRARY);
    }
    Check::unsure(
        NAME,
        format!(
            "{LIBRARY} was not found: imported models run without it, ONNX models of others may not"
        ),
        "install cuDNN 9, or name its folder in LD_LIBRARY_PATH",
    )
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("written");
        }
        root
    }

    #[test]
    fn a_machine_with_a_gpu_is_known() {
        let version =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03\nGCC version: 13\n";
        let root = machine(&[
            ("dev/nvidia0", ""),
            ("dev/nvidiactl", ""),
            ("proc/driver/nvidia/version", version),
        ]);
        let check = devices(root.path());
        assert_eq!(check.outcome, Outcome::Good);
        assert_eq!(check.found, "/dev/nvidia0, /dev/nvidiactl");
        assert_eq!(
            driver(root.path()).found,
            "NVIDIA UNIX x86_64 Kernel Module  560.35.03"
        );
    }

    #[test]
    fn a_machine_without_one_says_what_to_do() {
        let root = machine(&[("dev/null", "")]);
        for check in [devices(root.path()), driver(root.path())] {
            assert_eq!(check.outcome, Outcome::Missing);
            assert!(check.remedy.is_some(), "{check:?}");
        }
    }
}
