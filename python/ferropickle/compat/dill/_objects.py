"""A catalogue of objects, one of each kind, by the name of their type.

Each entry makes its object: some need a file, a thread or a library that there
may not be, and are left out then.
"""

from __future__ import annotations

import argparse
import array
import bz2
import calendar
import codecs
import collections
import contextlib
import csv
import ctypes
import dataclasses
import datetime
import decimal
import fractions
import functools
import gzip
import hashlib
import hmac
import io
import itertools
import logging
import logging.handlers
import numbers
import operator
import optparse
import os
import pprint
import queue
import re
import shelve
import socket
import struct
import symtable
import sys
import tarfile
import tempfile
import threading
import types
import weakref
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Makers = dict[str, "Callable[[], Any]"]


class _Plain:
    def method(self) -> None:
        """Do nothing."""


class _Callable:
    def __call__(self) -> None:
        """Do nothing."""


class _Slotted:
    __slots__ = ["descriptor"]
    descriptor: int


class _CStruct(ctypes.Structure):
    _fields_ = [("_field", ctypes.c_int)]


def _function(x: Any) -> Iterator[Any]:
    yield x


def _error() -> BaseException:
    try:
        raise RuntimeError("an error of the catalogue")
    except RuntimeError as error:
        return error


# What weak references refer to must live on.
_PLAIN, _CALLABLE = _Plain(), _Callable()

_ATOMS: _Makers = {
    "BooleanType": lambda: True,
    "BytesType": lambda: b"\0",
    "ComplexType": lambda: 1j,
    "EllipsisType": lambda: ...,
    "FloatType": lambda: 1.0,
    "IntType": lambda: 1,
    "LongType": lambda: 1 << 70,
    "NoneType": lambda: None,
    "NotImplementedType": lambda: NotImplemented,
    "StringType": lambda: "1",
    "UnicodeType": lambda: "\u1234",
    "ObjectType": object,
    "SliceType": lambda: slice(1),
    "XRangeType": lambda: range(1),
    "ByteArrayType": lambda: bytearray(b"1"),
    "DateTimeType": datetime.datetime.today,
    "TZInfoType": datetime.tzinfo,
    "DecimalType": lambda: decimal.Decimal(1),
    "FractionType": fractions.Fraction,
    "NumberType": numbers.Number,
    "SREPatternType": lambda: re.compile(""),
}

_CONTAINERS: _Makers = {
    "ArrayType": lambda: array.array("f"),
    "CounterType": collections.Counter,
    "DefaultDictType": lambda: collections.defaultdict(int),
    "DequeType": lambda: collections.deque([0]),
    "DictType": dict,
    "DictionaryType": dict,
    "FrozenSetType": frozenset,
    "ListType": list,
    "OrderedDictType": collections.OrderedDict,
    "SetType": set,
    "TupleType": tuple,
    "QueueType": queue.Queue,
    "DictKeysType": lambda: {}.keys(),
    "DictItemsType": lambda: {}.items(),
    "DictValuesType": lambda: {}.values(),
    "OdictKeysType": lambda: collections.OrderedDict().keys(),
    "OdictItemsType": lambda: collections.OrderedDict().items(),
    "OdictValuesType": lambda: collections.OrderedDict().values(),
    "DictProxyType": lambda: type.__dict__,
    "DictProxyType2": lambda: _Plain.__dict__,
    "WeakSetType": weakref.WeakSet,
    "WeakKeyDictionaryType": weakref.WeakKeyDictionary,
    "WeakValueDictionaryType": weakref.WeakValueDictionary,
}

_CODE: _Makers = {
    "BuiltinFunctionType": lambda: len,
    "BuiltinMethodType": lambda: [].append,
    "ClassType": lambda: _Plain,
    "ClassObjectType": lambda: _Slotted,
    "ClassInstanceType": _Slotted,
    "InstanceType": _Plain,
    "TypeType": lambda: type,
    "CodeType": lambda: compile("", "", "exec"),
    "CellType": lambda: types.CellType(0),
    "FunctionType": lambda: _function,
    "LambdaType": lambda: lambda x: x,
    "MethodType": lambda: _PLAIN.method,
    "UnboundMethodType": lambda: _Plain.method,
    "ModuleType": lambda: datetime,
    "ExceptionType": _error,
    "GetSetDescriptorType": lambda: vars(array.array)["typecode"],
    "MemberDescriptorType": lambda: vars(_Slotted)["descriptor"],
    "MemberDescriptorType2": lambda: vars(datetime.timedelta)["days"],
    "MethodDescriptorType": lambda: vars(type)["mro"],
    "WrapperDescriptorType": lambda: vars(type)["__repr__"],
    "ClassMethodDescriptorType": lambda: vars(type)["__prepare__"],
    "MethodWrapperType": lambda: (1).__lt__,
    "StaticMethodType": lambda: staticmethod(_function),
    "ClassMethodType": lambda: classmethod(_function),
    "PropertyType": property,
    "SuperType": lambda: super(Exception, _error()),
    "PartialType": lambda: functools.partial(int, base=2),
    "ItemGetterType": lambda: operator.itemgetter(0),
    "AttrGetterType": lambda: operator.attrgetter("__repr__"),
    "MethodCallerType": lambda: operator.methodcaller("mro"),
    "DataclassesMissingType": lambda: dataclasses.MISSING,
    "DataclassesHasDefaultFactoryType": lambda: vars(dataclasses)["_HAS_DEFAULT_FACTORY"],
    "DataclassesKWOnlyType": lambda: dataclasses.KW_ONLY,
    "DataclassesFieldBaseType": lambda: vars(dataclasses)["_FIELD"],
    "ExitType": lambda: vars(sys.modules["builtins"])["exit"],
    "QuitterType": lambda: vars(sys.modules["builtins"])["quit"],
    "CopyrightType": lambda: vars(sys.modules["builtins"])["copyright"],
    "ReferenceType": lambda: weakref.ref(_PLAIN),
    "DeadReferenceType": lambda: weakref.ref(_Plain()),
    "ProxyType": lambda: weakref.proxy(_PLAIN),
    "DeadProxyType": lambda: weakref.proxy(_Plain()),
    "CallableProxyType": lambda: weakref.proxy(_CALLABLE),
    "DeadCallableProxyType": lambda: weakref.proxy(_Callable()),
    "LockType": threading.Lock,
    "RLockType": threading.RLock,
    "PyCapsuleType": lambda: vars(datetime)["datetime_CAPI"],
    "GeneratorContextManagerType": lambda: contextlib.contextmanager(_function)(0),
}

_ITERATORS: _Makers = {
    "IzipType": lambda: zip([0], [1], strict=False),
    "ListIteratorType": lambda: iter([0]),
    "ListReverseiteratorType": lambda: reversed([0]),
    "TupleIteratorType": lambda: iter((0,)),
    "SetIteratorType": lambda: iter({0}),
    "XRangeIteratorType": lambda: iter(range(1)),
    "BytesIteratorType": lambda: iter(b"0"),
    "BytearrayIteratorType": lambda: iter(bytearray(b"0")),
    "CallableIteratorType": lambda: iter(int, 0),
    "GenericAliasIteratorType": lambda: iter(vars(types)["GenericAlias"](list, int)),
    "DictionaryKeyIteratorType": lambda: iter({}.keys()),
    "DictionaryItemIteratorType": lambda: iter({}.items()),
    "DictionaryValueIteratorType": lambda: iter({}.values()),
    "DictReversekeyiteratorType": lambda: reversed({}.keys()),
    "DictReverseitemiteratorType": lambda: reversed({}.items()),
    "DictReversevalueiteratorType": lambda: reversed({}.values()),
    "OdictIteratorType": lambda: iter(collections.OrderedDict().keys()),
    "CountType": lambda: itertools.count(0),
    "ChainType": lambda: itertools.chain("0", "1"),
    "CombinationsType": lambda: itertools.combinations("01", 1),
    "CompressType": lambda: itertools.compress("0", [1]),
    "CycleType": lambda: itertools.cycle("0"),
    "PermutationsType": lambda: itertools.permutations("0"),
    "ProductType": lambda: itertools.product("0", "1"),
    "RepeatType": lambda: itertools.repeat(0),
}

_FILES: _Makers = {
    "FileType": functools.partial(open, os.devnull, "rb", buffering=0),
    "TemporaryFileType": functools.partial(tempfile.TemporaryFile, "w"),
    "TextWrapperType": lambda: io.TextIOWrapper,
    "BufferedRandomType": lambda: io.BufferedRandom,
    "BufferedReaderType": lambda: io.BufferedReader,
    "BufferedWriterType": lambda: io.BufferedWriter,
    "IOBaseType": io.IOBase,
    "RawIOBaseType": io.RawIOBase,
    "TextIOBaseType": io.TextIOBase,
    "BufferedIOBaseType": io.BufferedIOBase,
    "InputType": io.BytesIO,
    "OutputType": io.BytesIO,
    "UnicodeIOType": io.StringIO,
    "ShelveType": lambda: shelve.Shelf({}),
    "TarFileType": functools.partial(tarfile.open, fileobj=io.BytesIO(), mode="w"),
    "TarInfoType": tarfile.TarInfo,
    "CalendarType": calendar.Calendar,
    "PrettyPrinterType": pprint.PrettyPrinter,
    "OptionParserType": optparse.OptionParser,
    "OptionGroupType": lambda: optparse.OptionGroup(optparse.OptionParser(), "o"),
    "OptionType": lambda: optparse.Option("--o"),
    "ArgParseFileType": lambda: argparse.FileType(),
    "ArgDefaultsHelpFormatterType": lambda: argparse.ArgumentDefaultsHelpFormatter("p"),
    "RawTextHelpFormatterType": lambda: argparse.RawTextHelpFormatter("p"),
    "RawDescriptionHelpFormatterType": lambda: argparse.RawDescriptionHelpFormatter("p"),
    "LoggerType": logging.getLogger,
    "NamedLoggerType": lambda: logging.getLogger(__name__),
    "LoggerAdapterType": lambda: logging.LoggerAdapter(logging.getLogger()),
    "FormatterType": logging.Formatter,
    "FilterType": logging.Filter,
    "LogRecordType": lambda: logging.makeLogRecord({}),
    "NullHandlerType": logging.NullHandler,
    "StreamHandlerType": logging.StreamHandler,
    "FileHandlerType": lambda: logging.FileHandler(os.devnull),
    "RotatingFileHandlerType": lambda: logging.handlers.RotatingFileHandler(os.devnull),
    "SocketHandlerType": lambda: logging.handlers.SocketHandler("localhost", 514),
    "MemoryHandlerType": lambda: logging.handlers.MemoryHandler(1),
}

_CTYPES: _Makers = {
    "CBoolType": lambda: ctypes.c_bool(True),
    "CByteType": ctypes.c_byte,
    "CCharType": ctypes.c_char,
    "CDoubleType": ctypes.c_double,
    "CFloatType": ctypes.c_float,
    "CIntType": ctypes.c_int,
    "CLongDoubleType": ctypes.c_longdouble,
    "CLongLongType": ctypes.c_longlong,
    "CLongType": ctypes.c_long,
    "CShortType": ctypes.c_short,
    "CSizeTType": ctypes.c_size_t,
    "CSSizeTType": ctypes.c_ssize_t,
    "CUByteType": ctypes.c_ubyte,
    "CUIntType": ctypes.c_uint,
    "CULongLongType": ctypes.c_ulonglong,
    "CULongType": ctypes.c_ulong,
    "CUShortType": ctypes.c_ushort,
    "CWCharType": ctypes.c_wchar,
    "CLibraryLoaderType": lambda: ctypes.cdll,
    "StructureType": lambda: _CStruct,
}

_NUMPY: _Makers = {
    "NumpyArrayType": lambda: _numpy("array")([1]),
    "NumpyInt32Type": lambda: _numpy("int32")(1),
    "NumpyUfuncType": lambda: _numpy("sin"),
}

# Beyond the reach of pickling: handles, frames and pointers of this process.
_UNPICKLEABLE: _Makers = {
    "GeneratorType": lambda: _function(1),
    "FrameType": sys._getframe,
    "TracebackType": lambda: _error().__traceback__,
    "SocketType": socket.socket,
    "SocketPairType": lambda: socket.socketpair()[0],
    "MemoryType": lambda: memoryview(b"0"),
    "MemoryType2": lambda: memoryview(bytearray(b"0")),
    "BufferType": lambda: memoryview(b""),
    "MemoryIteratorType": lambda: iter(memoryview(b"0")),
    "LineIteratorType": lambda: _function.__code__.co_lines(),
    "PositionsIteratorType": lambda: _function.__code__.co_positions(),  # type: ignore[attr-defined]
    "SymtableEntryType": lambda: vars(symtable.symtable("", "string", "exec"))["_table"],
    "SREMatchType": lambda: re.match("", ""),
    "SREScannerType": lambda: re.compile("").scanner(""),  # type: ignore[attr-defined]
    "StructType": lambda: struct.Struct("c"),
    "HashType": hashlib.md5,
    "HMACType": lambda: hmac.new(b"0", digestmod="sha256"),
    "DialectType": lambda: csv.reader([]).dialect,
    "CSVReaderType": lambda: csv.reader([]),
    "CSVWriterType": lambda: csv.writer(io.StringIO()),
    "CSVDictReaderType": lambda: csv.DictReader([]),
    "CSVDictWriterType": lambda: csv.DictWriter(io.StringIO(), {}),
    "StreamReader": lambda: codecs.StreamReader(io.BytesIO()),
    "GzipFileType": lambda: gzip.GzipFile(fileobj=io.BytesIO()),
    "Bz2CompressType": bz2.BZ2Compressor,
    "ZlibCompressType": zlib.compressobj,
    "ZlibDecompressType": zlib.decompressobj,
    "CmpKeyType": lambda: functools.cmp_to_key(max),
    "CmpKeyObjType": lambda: functools.cmp_to_key(max)(0),
    "CCharPType": ctypes.c_char_p,
    "CWCharPType": ctypes.c_wchar_p,
    "CVoidPType": ctypes.c_void_p,
    "CDLLType": lambda: ctypes.CDLL(None),
    "PyDLLType": lambda: ctypes.pythonapi,
    "FuncPtrType": lambda: ctypes.CDLL(None).abs,
    "CCharArrayType": lambda: ctypes.create_string_buffer(1),
    "CWCharArrayType": lambda: ctypes.create_unicode_buffer(1),
    "CParamType": lambda: ctypes.byref(ctypes.c_int()),
    "LPCCharType": lambda: ctypes.pointer(ctypes.c_char()),
    "LPCCharObjType": lambda: ctypes.POINTER(ctypes.c_char),
    "NullPtrType": lambda: ctypes.POINTER(ctypes.c_char)(),
    "NullPyObjectType": ctypes.py_object,
    "PyObjectType": lambda: ctypes.py_object(_function),
    "FieldType": lambda: vars(_CStruct)["_field"],
    "CFUNCTYPEType": lambda: ctypes.CFUNCTYPE(ctypes.c_int),
    "CFunctionType": lambda: ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0),
}


def _numpy(name: str) -> Any:
    import numpy

    return vars(numpy)[name]


def _made(makers: _Makers) -> dict[str, Any]:
    objects = {}
    for name, make in makers.items():
        # an optional part of Python, or one that this version lacks
        with contextlib.suppress(ImportError, AttributeError, KeyError, OSError, TypeError):
            objects[name] = make()
    return objects


def pickleable() -> dict[str, Any]:
    """Make the objects that can be pickled."""
    makers: _Makers = {
        **_ATOMS,
        **_CONTAINERS,
        **_CODE,
        **_ITERATORS,
        **_FILES,
        **_CTYPES,
        **_NUMPY,
    }
    return _made(makers)


def unpickleable() -> dict[str, Any]:
    """Make the objects that cannot be pickled."""
    return _made(_UNPICKLEABLE)
