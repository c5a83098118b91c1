package wire

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Record is a record of the log, a line of JSON on the process's descriptor 2. What the runtime
// writes there is no such line.
type Record struct {
	Time    time.Time
	Level   int
	Message string
	Attrs   []Attr
}

// Attr is an attribute. At most one of the pointers is set, else Text counts.
type Attr struct {
	Key      string
	Text     string         `json:",omitempty"`
	Int      *int64         `json:",omitempty"`
	Uint     *uint64        `json:",omitempty"`
	Float    *float64       `json:",omitempty"`
	Bool     *bool          `json:",omitempty"`
	Duration *time.Duration `json:",omitempty"`
}

// AppendAttr appends what a is in a record, with its group before the key.
func AppendAttr(dst []Attr, group string, a slog.Attr) []Attr {
	v := a.Value.Resolve()
	out := Attr{Key: group + a.Key}
	switch v.Kind() {
	case slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			dst = AppendAttr(dst, group, inner)
		}
		return dst
	case slog.KindInt64:
		n := v.Int64()
		out.Int = &n
	case slog.KindUint64:
		n := v.Uint64()
		out.Uint = &n
	case slog.KindFloat64:
		n := v.Float64()
		out.Float = &n
	case slog.KindBool:
		b := v.Bool()
		out.Bool = &b
	case slog.KindDuration:
		d := v.Duration()
		out.Duration = &d
	case slog.KindTime:
		out.Text = v.Time().Format("2006-01-02T15:04:05.000Z07:00") // as in package slog's text
	case slog.KindAny:
		out.Text = textOf(v.Any())
	default:
		out.Text = v.String()
	}
	if out.Key == "" {
		return dst
	}
	return append(dst, out)
}

// textOf is what package slog's handlers write of a value.
func textOf(v any) string {
	switch v := v.(type) {
	case error:
		return v.Error()
	case encoding.TextMarshaler:
		if b, err := v.MarshalText(); err == nil {
			return string(b)
		}
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprintf("%+v", v)
}

// slog is a in package slog.
func (a Attr) slog() slog.Attr {
	switch {
	case a.Int != nil:
		return slog.Int64(a.Key, *a.Int)
	case a.Uint != nil:
		return slog.Uint64(a.Key, *a.Uint)
	case a.Float != nil:
		return slog.Float64(a.Key, *a.Float)
	case a.Bool != nil:
		return slog.Bool(a.Key, *a.Bool)
	case a.Duration != nil:
		return slog.Duration(a.Key, *a.Duration)
	}
	return slog.String(a.Key, a.Text)
}

// recordStart begins each line of a Record, and no line of the runtime's.
var recordStart = []byte(`{"Time":`)

// Line is the record with a line break at its end, which is the only one.
func (r Record) Line() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	return append(b, '\n'), nil
}

// maxAttrs bounds the attributes of a record that is read.
const maxAttrs = 64

// ParseRecord reads a line.
func ParseRecord(line []byte) (slog.Record, error) {
	var r Record
	if !bytes.HasPrefix(line, recordStart) {
		return slog.Record{}, errors.New("wire: no record")
	}
	if err := Decode(line, &r); err != nil {
		return slog.Record{}, err
	}
	out := slog.NewRecord(r.Time, slog.Level(r.Level), r.Message, 0)
	for _, a := range r.Attrs[:min(len(r.Attrs), maxAttrs)] {
		out.AddAttrs(a.slog())
	}
	return out, nil
}
