//! Where the weights of a product are.
//!
//! They are read from the model's files once, and laid out anew. As constants of the graph ONNX Runtime would have a second
//! copy of them in view for as long as the model is loaded.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Component, Path},
};

use super::panels::Size;
use crate::import::onnx::{
    ElementType,
    message::{EXTERNAL, Property, Tensor},
};

/// The weights of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weights {
    pub(in super::super) size: Size,
    pub(super) values: Source,
    pub(super) scales: Source,
    /// All as the runtime assumes without.
    pub(super) zero_points: Option<Source>,
}

/// The bytes of a constant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the graph.
    Graph(Vec<u8>),
    /// In a file beside it.
    File {
        name: String,
        offset: u64,
        length: usize,
    },
}

impl Source {
    /// A constant of so many elements of a type, whatever its dimensions, of `size` bytes each; none where it is another.
    pub(in super::super) fn of_elements(
        tensor: &Tensor,
        element: ElementType,
        size: usize,
        length: usize,
    ) -> Option<Self> {
        let elements: i64 = tensor.dimensions.iter().product();
        let fits =
            tensor.element_type == element.number() && usize::try_from(elements) == Ok(length);
        fits.then(|| Self::of(tensor, length * size)).flatten()
    }

    /// A constant of so many bytes; none where that is not what it says, or where its file is in another folder.
    fn of(tensor: &Tensor, length: usize) -> Option<Self> {
        if tensor.data_location != EXTERNAL {
            let is_whole = tensor.raw_data.len() == length;
            return is_whole.then(|| Self::Graph(tensor.raw_data.clone()));
        }
        let property = |key: &str| Property::find(&tensor.external_data, key);
        let number = |key: &str, otherwise: u64| {
            property(key).map_or(Some(otherwise), |number| number.parse().ok())
        };
        let name = property("location")?;
        let mut components = Path::new(name).components();
        let is_beside =
            matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
        let all = u64::try_from(length).ok()?;
        (is_beside && number("length", all)? == all).then_some(Self::File {
            name: name.to_owned(),
            offset: number("offset", 0)?,
            length,
        })
    }

    /// The bytes, of a graph in this folder.
    pub(super) fn read(&self, folder: &Path) -> io::Result<Vec<u8>> {
        match self {
            Self::Graph(bytes) => Ok(bytes.clone()),
            Self::File {
                name,
                offset,
                length,
            } => {
                let path = folder.join(name);
                let read = || {
                    let mut file = File::open(&path)?;
                    file.seek(SeekFrom::Start(*offset))?;
                    let mut bytes = vec![0; *length];
                    file.read_exact(&mut bytes)?;
                    Ok(bytes)
                };
                read().map_err(|error: io::Error| {
                    let problem =
                        format!("failed to read weights from {}: {error}", path.display());
                    io::Error::new(error.kind(), problem)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;

    use super::*;

    fn external(properties: &[(&str, &str)]) -> Tensor {
        let property = |(key, value): &(&str, &str)| Property {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        Tensor {
            data_location: EXTERNAL,
            external_data: properties.iter().map(property).collect(),
            ..Tensor::default()
        }
    }

    #[test]
    fn bytes_come_from_the_graph_or_from_the_file_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("data"), [1, 2, 3, 4, 5]).expect("written");
        let inline = Tensor {
            raw_data: vec![8, 9],
            ..Tensor::default()
        };
        let read = |tensor: &Tensor, length| Source::of(tensor, length)?.read(folder.path()).ok();
        assert_eq!(read(&inline, 2), Some(vec![8, 9]));
        let middle = external(&[("location", "data"), ("offset", "1"), ("length", "3")]);
        assert_eq!(read(&middle, 3), Some(vec![2, 3, 4]));
        assert_eq!(
            read(&external(&[("location", "data")]), 5),
            Some(vec![1, 2, 3, 4, 5])
        );
    }

    #[test]
    fn a_file_that_is_cut_off_or_gone_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = Source::of(&external(&[("location", "data")]), 5).expect("a file");
        for _ in 0..2 {
            let error = source.read(folder.path()).expect_err("nothing to read");
            assert!(error.to_string().contains("data: "), "{error}");
            fs::write(folder.path().join("data"), [1, 2, 3]).expect("written");
        }
    }

    #[rstest]
    #[case::another_length(external(&[("location", "data"), ("length", "4")]))]
    #[case::no_number(external(&[("location", "data"), ("offset", "x")]))]
    #[case::nowhere(external(&[]))]
    #[case::above(external(&[("location", "../data")]))]
    #[case::elsewhere(external(&[("location", "/data")]))]
    #[case::below(external(&[("location", "more/data")]))]
    #[case::too_few(Tensor { raw_data: vec![0; 4], ..Tensor::default() })]
    fn others_are_not_read(#[case] tensor: Tensor) {
        assert_eq!(Source::of(&tensor, 5), None);
    }
}
