//! Writes GGUF files, right ones and wrong ones.

/// A metadata value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    U32(u32),
    F32(f32),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i32>),
    Floats(Vec<f32>),
    Bool(bool),
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// A tensor, with its dimensions outermost first.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dimensions: Vec<u64>,
    pub(crate) kind: u32,
    pub(crate) data: Vec<u8>,
}

/// A file in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct GgufWriter {
    pub(crate) entries: Vec<(String, Value)>,
    pub(crate) tensors: Vec<Tensor>,
}

impl GgufWriter {
    /// Sets an entry, which may be there already.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.remove(key);
        self.entries.push((key.to_owned(), value.into()));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.entries.retain(|(existing, _)| existing != key);
    }

    pub(crate) fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors
            .iter_mut()
            .find(|tensor| tensor.name == name)
            .expect("a tensor of this name")
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            write_text(&mut bytes, key);
            write_value(&mut bytes, value);
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            write_text(&mut bytes, &tensor.name);
            bytes.extend(
                u32::try_from(tensor.dimensions.len())
                    .expect("few")
                    .to_le_bytes(),
            );
            for size in tensor.dimensions.iter().rev() {
                bytes.extend(size.to_le_bytes());
            }
            bytes.extend(tensor.kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            offset += (tensor.data.len() as u64).next_multiple_of(32);
        }
        for tensor in &self.tensors {
            bytes.resize(bytes.len().next_multiple_of(32), 0);
            bytes.extend(&tensor.data);
        }
        bytes
    }
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn write_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U32(number) => {
            bytes.extend(4_u32.to_le_bytes());
            bytes.extend(number.to_le_bytes());
        }
        Value::F32(number) => {
            bytes.extend(6_u32.to_le_bytes());
            bytes.extend(number.to_le_bytes());
        }
        Value::Text(text) => {
            bytes.extend(8_u32.to_le_bytes());
            write_text(bytes, text);
        }
        Value::Texts(texts) => {
            write_list_header(bytes, 8, texts.len());
            for text in texts {
                write_text(bytes, text);
            }
        }
        Value::Floats(numbers) => {
            write_list_header(bytes, 6, numbers.len());
            for number in numbers {
                bytes.extend(number.to_le_bytes());
            }
        }
        Value::Bool(value) => {
            bytes.extend(7_u32.to_le_bytes());
            bytes.push(u8::from(*value));
        }
        Value::Integers(numbers) => {
            write_list_header(bytes, 5, numbers.len());
            for number in numbers {
                bytes.extend(number.to_le_bytes());
            }
        }
    }
}

fn write_list_header(bytes: &mut Vec<u8>, kind: u32, count: usize) {
    bytes.extend(9_u32.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend((count as u64).to_le_bytes());
}
