//! Short values: which form an int takes, and runs of values that are written with
//! room asked for once.

use super::Encoder;
use crate::opcode::Op;
use crate::out::{self, Form, Storage};
use crate::parts;

/// Room asked for a run of short values.
const RUN_BYTES: usize = 4096;

/// The form of an int from protocol 2 on, by the place of its highest bit
/// besides the sign; 64 added for a negative one.
static INT_FORMS: [Form; 128] = {
    let mut forms = [Form::new(Op::Binint as u8, 4, false); 128];
    let mut i = 0;
    while i < forms.len() {
        // 63 bits at most: the last place of each half is never asked for.
        let (bits, negative) = (i as u8 % 64 % 63 + 1, i >= 64);
        if bits <= 8 && !negative {
            forms[i] = Form::new(Op::Binint1 as u8, 1, false);
        } else if bits <= 16 && !negative {
            forms[i] = Form::new(Op::Binint2 as u8, 2, false);
        } else if bits > 31 {
            // The fewest bytes that keep the sign.
            forms[i] = Form::new(Op::Long1 as u8, bits / 8 + 1, true);
        }
        i += 1;
    }
    forms
};

/// The form of an int. Looked up, as widths come in no order and a branch on
/// them would be guessed wrong.
#[inline(always)]
pub(super) fn int_form(value: i64) -> Form {
    let sign = value >> 63;
    let highest = 63 - ((value ^ sign) | 1).leading_zeros();
    INT_FORMS[(highest | (sign as u32 & 64)) as usize & 127]
}

/// Short values, one after another: what [`Encoder::run`] gives. Each is an
/// opcode and eight bytes at the most, written as by the encoder's own methods.
#[derive(Debug)]
pub struct Run<'a, S: Storage>(out::Run<'a, S>);

impl<S: Storage> Run<'_, S> {
    /// Whether there is room for one more value: must be asked before each.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.0.has_room()
    }

    /// None.
    #[inline(always)]
    pub fn none(&mut self) {
        const FORM: Form = Form::new(Op::None as u8, 0, false);
        self.0.put(FORM, [0; 8]);
    }

    /// True or False.
    #[inline(always)]
    pub fn bool(&mut self, value: bool) {
        const TRUE: Form = Form::new(Op::Newtrue as u8, 0, false);
        const FALSE: Form = Form::new(Op::Newfalse as u8, 0, false);
        self.0.put(if value { TRUE } else { FALSE }, [0; 8]);
    }

    /// An int.
    #[inline(always)]
    pub fn int(&mut self, value: i64) {
        self.0.put(int_form(value), value.to_le_bytes());
    }

    /// An int from 0 to 255.
    #[inline(always)]
    pub fn byte(&mut self, value: u8) {
        const FORM: Form = Form::new(Op::Binint1 as u8, 1, false);
        self.0.put(FORM, u64::from(value).to_le_bytes());
    }

    /// A float.
    #[inline(always)]
    pub fn float(&mut self, value: f64) {
        const FORM: Form = Form::new(Op::Binfloat as u8, 8, false);
        self.0.put(FORM, value.to_bits().to_be_bytes());
    }

    /// A memo entry; false, with nothing written, if it is a part's own, whose
    /// place is to be noted.
    #[inline(always)]
    pub fn get(&mut self, index: u32) -> bool {
        const SHORT: Form = Form::new(Op::Binget as u8, 1, false);
        const LONG: Form = Form::new(Op::LongBinget as u8, 4, false);
        if index >= parts::OWN_INDICES {
            return false;
        }
        let body = u64::from(index).to_le_bytes();
        self.0.put(if index < 256 { SHORT } else { LONG }, body);
        true
    }
}

impl<S: Storage> Encoder<S> {
    /// Room for short values, up to the next boundary; none before protocol 2.
    /// `most` is how many there may be.
    #[inline(always)]
    pub fn run(&mut self, most: usize) -> Run<'_, S> {
        let room = self.next_boundary.saturating_sub(self.out.len()).min(RUN_BYTES);
        let room = if self.proto < 2 { 0 } else { room.min(most.saturating_mul(Form::MOST)) };
        Run(self.out.run(room))
    }
}
