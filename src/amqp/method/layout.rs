//! How is a method's struct tied to its bytes?
//!
//! [`method!`](method) takes the struct as Rust has it and, below it, the wire layout: one field a
//! line with its type, in the order of the specification. Bits that share an octet share a line;
//! fields that the specification reserves have a type and no name.

/// Defines the struct of a method, its ids, its name, its decoder and its encoder.
macro_rules! method {
    (
        $(#[$doc:meta])*
        $name:literal ($class_id:literal, $method_id:literal)
        pub struct $method:ident $(<$lifetime:lifetime>)? {
            $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)*
        }
        wire { $($kind:ident $($wire_field:ident)*;)* }
    ) => {
        #[doc = concat!("`", $name, "` (", $class_id, ", ", $method_id, "): ")]
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct $method $(<$lifetime>)? {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $(<$lifetime>)? $method $(<$lifetime>)? {
            /// Ids of class and method.
            pub const ID: (u16, u16) = ($class_id, $method_id);

            /// Both ids as the one number that the first four bytes of the payload are.
            pub(super) const KEY: u32 = $class_id << 16 | $method_id;

            /// Class and method as the specification names them.
            pub const NAME: &'static str = $name;

            /// Appends the payload of a method frame: ids and arguments.
            pub fn encode(&self, out: &mut Vec<u8>) {
                $crate::amqp::method::Payload::append(self, out);
            }

            /// Reads the arguments, which must be all of `arguments`.
            #[inline]
            pub(super) fn decode(
                arguments: & $($lifetime)? [u8],
            ) -> Result<Self, $crate::amqp::wire::Malformed> {
                #[allow(unused_mut, reason = "some methods have no arguments")]
                let mut reader = $crate::amqp::wire::Reader::new(arguments);
                $($crate::amqp::method::layout::take!(reader $kind $($wire_field)*);)*
                reader.end()?;
                Ok($method { $($field,)* })
            }
        }

        impl $(<$lifetime>)? $crate::amqp::method::Payload for $method $(<$lifetime>)? {
            #[inline]
            fn payload_bytes(&self) -> usize {
                4 $(+ $crate::amqp::method::layout::size!(self $kind $($wire_field)*))*
            }

            #[inline]
            fn write(&self, writer: &mut $crate::amqp::wire::Writer<'_>) {
                writer.long(Self::KEY);
                $($crate::amqp::method::layout::put!(self writer $kind $($wire_field)*);)*
            }
        }
    };
}

/// Reads one line of a wire layout.
macro_rules! take {
    ($reader:ident bits $($field:ident)+) => {
        let [$($field),+] = $reader.bits()?;
    };
    ($reader:ident reserved_bit) => {
        $reader.octet()?;
    };
    ($reader:ident reserved_short) => {
        $reader.short()?;
    };
    ($reader:ident reserved_short_string) => {
        $reader.short_string()?;
    };
    ($reader:ident reserved_long_string) => {
        $reader.long_string()?;
    };
    ($reader:ident short_string $field:ident) => {
        let $field = $reader.name()?;
    };
    ($reader:ident short_bytes $field:ident) => {
        let $field = $reader.short_string()?;
    };
    ($reader:ident $kind:ident $field:ident) => {
        let $field = $reader.$kind()?;
    };
}

/// Writes one line of a wire layout.
macro_rules! put {
    ($self:ident $writer:ident bits $($field:ident)+) => {
        $writer.bits([$($self.$field),+])
    };
    ($self:ident $writer:ident reserved_bit) => {
        $writer.octet(0)
    };
    ($self:ident $writer:ident reserved_short) => {
        $writer.short(0)
    };
    ($self:ident $writer:ident reserved_short_string) => {
        $writer.short_string(b"")
    };
    ($self:ident $writer:ident reserved_long_string) => {
        $writer.long_string(b"")
    };
    ($self:ident $writer:ident short_bytes $field:ident) => {
        $writer.short_string($self.$field)
    };
    ($self:ident $writer:ident $kind:ident $field:ident) => {
        $writer.$kind($self.$field)
    };
}

/// The bytes of one line of a wire layout.
macro_rules! size {
    ($self:ident bits $($field:ident)+) => {
        1
    };
    ($self:ident reserved_bit) => {
        1
    };
    ($self:ident reserved_short) => {
        2
    };
    ($self:ident reserved_short_string) => {
        1
    };
    ($self:ident reserved_long_string) => {
        4
    };
    ($self:ident octet $field:ident) => {
        1
    };
    ($self:ident short $field:ident) => {
        2
    };
    ($self:ident long $field:ident) => {
        4
    };
    ($self:ident long_long $field:ident) => {
        8
    };
    ($self:ident short_string $field:ident) => {
        1 + usize::from($crate::amqp::wire::short_string_bytes($self.$field))
    };
    ($self:ident short_bytes $field:ident) => {
        1 + usize::from($crate::amqp::wire::short_string_bytes($self.$field))
    };
    ($self:ident long_string $field:ident) => {
        4 + $crate::amqp::wire::long_string_bytes($self.$field) as usize
    };
    ($self:ident table $field:ident) => {
        4 + $crate::amqp::wire::long_string_bytes($self.$field.as_bytes()) as usize
    };
}

pub(super) use {method, put, size, take};
