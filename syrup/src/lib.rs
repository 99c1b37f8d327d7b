//! stub
#![allow(missing_docs)]
use num_bigint::BigInt;
pub struct Encoder<'o> { out: &'o mut Vec<u8> }
impl<'o> Encoder<'o> {
    pub fn new(out: &'o mut Vec<u8>) -> Self { Self { out } }
    fn len(&mut self, n: usize, c: u8) { self.out.extend_from_slice(n.to_string().as_bytes()); self.out.push(c); }
    pub fn bool(&mut self, v: bool) { self.out.push(if v { b't' } else { b'f' }); }
    pub fn int(&mut self, v: i64) { self.out.extend_from_slice(v.unsigned_abs().to_string().as_bytes()); self.out.push(if v < 0 { b'-' } else { b'+' }); }
    pub fn uint(&mut self, v: u64) { self.out.extend_from_slice(v.to_string().as_bytes()); self.out.push(b'+'); }
    pub fn bigint(&mut self, v: &BigInt) { let s = v.magnitude().to_string(); self.out.extend_from_slice(s.as_bytes()); self.out.push(if v.sign() == num_bigint::Sign::Minus { b'-' } else { b'+' }); }
    pub fn f64(&mut self, v: f64) { self.out.push(b'D'); self.out.extend_from_slice(&v.to_be_bytes()); }
    pub fn bytes(&mut self, v: &[u8]) { self.len(v.len(), b':'); self.out.extend_from_slice(v); }
    pub fn bytes_header(&mut self, n: usize) { self.len(n, b':'); }
    pub fn string(&mut self, v: &str) { self.len(v.len(), b'"'); self.out.extend_from_slice(v.as_bytes()); }
    pub fn symbol(&mut self, v: &str) { self.len(v.len(), b'\''); self.out.extend_from_slice(v.as_bytes()); }
    pub fn begin_list(&mut self) { self.out.push(b'['); } pub fn end_list(&mut self) { self.out.push(b']'); }
    pub fn begin_record(&mut self) { self.out.push(b'<'); } pub fn end_record(&mut self) { self.out.push(b'>'); }
    pub fn begin_dict(&mut self) { self.out.push(b'{'); } pub fn end_dict(&mut self) { self.out.push(b'}'); }
    pub fn begin_set(&mut self) { self.out.push(b'#'); } pub fn end_set(&mut self) { self.out.push(b'$'); }
    pub fn raw(&mut self, v: &[u8]) { self.out.extend_from_slice(v); }
    pub fn dict<K: Copy, V>(&mut self, e: impl IntoIterator<Item = (K, V)>, mut k: impl FnMut(&mut Encoder<'_>, K), mut v: impl FnMut(&mut Encoder<'_>, V)) -> Result<(), ()> {
        let mut all = vec![];
        for (key, val) in e { let mut a = vec![]; k(&mut Encoder::new(&mut a), key); let mut b = vec![]; v(&mut Encoder::new(&mut b), val); all.push((a, b)); }
        all.sort(); self.begin_dict(); for (a, b) in all { self.raw(&a); self.raw(&b); } self.end_dict(); Ok(())
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)] pub struct DecodeError { pub offset: usize, pub kind: DecodeErrorKind }
impl std::fmt::Display for DecodeError { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{:?} at byte {}", self.kind, self.offset) } }
#[derive(Clone, Copy, Debug, PartialEq, Eq)] pub enum DecodeErrorKind { Incomplete, Bad, DepthLimit(usize), SizeLimit(usize), IntDigitsLimit(usize) }
#[derive(Clone, Copy, Debug, PartialEq)] pub struct BigDigits<'a> { d: &'a str, neg: bool }
impl BigDigits<'_> { pub fn to_bigint(self) -> BigInt { let b: BigInt = self.d.parse().unwrap(); if self.neg { -b } else { b } } }
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> { Bool(bool), Int(i64), BigInt(BigDigits<'a>), F32(f32), F64(f64), Bytes(&'a [u8]), String(&'a str), Symbol(&'a str), ListStart, ListEnd, DictStart, DictEnd, SetStart, SetEnd, RecordStart, RecordEnd }
#[derive(Clone, Copy, Debug)] pub struct Limits { pub depth: usize, pub size: usize, pub int_digits: usize }
#[derive(Clone, Copy, Debug)] pub struct Options { pub limits: Limits }
impl Default for Options { fn default() -> Self { Self { limits: Limits { depth: 128, size: 64 << 20, int_digits: 4096 } } } }
pub struct Decoder<'a> { b: &'a [u8], i: usize, depth: usize, o: Options }
impl<'a> Decoder<'a> {
    pub fn new(b: &'a [u8]) -> Self { Self { b, i: 0, depth: 0, o: Options::default() } }
    pub fn with_options(b: &'a [u8], o: &Options) -> Self { Self { b, i: 0, depth: 0, o: *o } }
    pub fn position(&self) -> usize { self.i }
    fn err<T>(&self, kind: DecodeErrorKind) -> Result<T, DecodeError> { Err(DecodeError { offset: self.i, kind }) }
    pub fn end(&self) -> Result<(), DecodeError> { if self.i == self.b.len() { Ok(()) } else { self.err(DecodeErrorKind::Bad) } }
    pub fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        let Some(c) = self.b.get(self.i).copied() else { return self.err(DecodeErrorKind::Incomplete) };
        let t = match c {
            b't' => Token::Bool(true), b'f' => Token::Bool(false), b'[' => Token::ListStart, b']' => Token::ListEnd, b'<' => Token::RecordStart, b'>' => Token::RecordEnd,
            b'{' => Token::DictStart, b'}' => Token::DictEnd, b'#' => Token::SetStart, b'$' => Token::SetEnd,
            b'F' => { let Some(x) = self.b.get(self.i + 1..self.i + 5) else { return self.err(DecodeErrorKind::Incomplete) }; self.i += 5; return Ok(Token::F32(f32::from_be_bytes(x.try_into().unwrap()))); }
            b'D' => { let Some(x) = self.b.get(self.i + 1..self.i + 9) else { return self.err(DecodeErrorKind::Incomplete) }; self.i += 9; return Ok(Token::F64(f64::from_be_bytes(x.try_into().unwrap()))); }
            b'0'..=b'9' => {
                let s = self.i; let mut j = s; while j < self.b.len() && self.b[j].is_ascii_digit() { j += 1; }
                if j - s > self.o.limits.int_digits { return self.err(DecodeErrorKind::IntDigitsLimit(self.o.limits.int_digits)); }
                let Some(k) = self.b.get(j).copied() else { self.i = j; return self.err(DecodeErrorKind::Incomplete) };
                let d = std::str::from_utf8(&self.b[s..j]).unwrap();
                match k {
                    b'+' | b'-' => { self.i = j + 1; let big = BigDigits { d, neg: k == b'-' };
                        return Ok(match d.parse::<i128>() { Ok(n) => { let n = if k == b'-' { -n } else { n }; i64::try_from(n).map_or(Token::BigInt(big), Token::Int) } Err(_) => Token::BigInt(big) }); }
                    b':' | b'"' | b'\'' => {
                        let Ok(n) = d.parse::<usize>() else { return self.err(DecodeErrorKind::SizeLimit(self.o.limits.size)) };
                        if n > self.o.limits.size { return self.err(DecodeErrorKind::SizeLimit(self.o.limits.size)); }
                        let Some(x) = self.b.get(j + 1..j + 1 + n) else { self.i = self.b.len(); return self.err(DecodeErrorKind::Incomplete) };
                        self.i = j + 1 + n;
                        if k == b':' { return Ok(Token::Bytes(x)); }
                        let Ok(st) = std::str::from_utf8(x) else { return self.err(DecodeErrorKind::Bad) };
                        return Ok(if k == b'"' { Token::String(st) } else { Token::Symbol(st) });
                    }
                    _ => { self.i = j; return self.err(DecodeErrorKind::Bad) }
                }
            }
            _ => return self.err(DecodeErrorKind::Bad),
        };
        match t { Token::ListStart | Token::RecordStart | Token::DictStart | Token::SetStart => { self.depth += 1; if self.depth > self.o.limits.depth { return self.err(DecodeErrorKind::DepthLimit(self.o.limits.depth)); } }
            Token::ListEnd | Token::RecordEnd | Token::DictEnd | Token::SetEnd => { if self.depth == 0 { return self.err(DecodeErrorKind::Bad); } self.depth -= 1; } _ => {} }
        self.i += 1; Ok(t)
    }
    pub fn skip(&mut self) -> Result<&'a [u8], DecodeError> { let s = self.i; let d = self.depth; loop { self.token()?; if self.depth <= d { return Ok(&self.b[s..self.i]); } } }
}
pub struct Scanner { o: Options }
impl Scanner { pub fn new(o: &Options) -> Self { Self { o: *o } }
    pub fn scan(&mut self, b: &[u8]) -> Result<Option<usize>, DecodeError> { if b.is_empty() { return Ok(None) } let mut d = Decoder::with_options(b, &self.o); match d.skip() { Ok(s) => Ok(Some(s.len())), Err(e) if e.kind == DecodeErrorKind::Incomplete => { if b.len() > self.o.limits.size { return Err(DecodeError { offset: 0, kind: DecodeErrorKind::SizeLimit(self.o.limits.size) }) } Ok(None) }, Err(e) => Err(e) } } }
