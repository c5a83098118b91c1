package judge

import (
	"encoding/binary"
	"testing"
)

// addSeeds adds inputs of FuzzSession that have some of everything in them.
func addSeeds(f *testing.F) {
	field := func(s string) []byte {
		b := unhex(s)
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	}
	item := func(kind byte, data []byte) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(data))), data...)
	}
	update := func(withdrawn, attrs, nlri string) []byte {
		return item(stepUpdate, append(append(field(withdrawn), field(attrs)...), unhex(nlri)...))
	}
	several := "18" + "0a3c00" + "180a3d00" + "190a3c0080" + "200a3c0001" + "00"
	all := [][]byte{
		update("", usual, several),
		update("", usual6, ""),
		update(v4, usual+reach6, v4),
		update("", usual+medAttr(1)+attr(0x40, 5, "00000064")+"400600"+attr(0xc0, 7, "0000fc9a0a000001")+attr(0xc0, 8, "fc9a0001")+attr(0x80, 9, "0a000003")+attr(0x80, 10, "0a000004"), several),
		update("", usual+attr(0xc0, 16, "0002fc9a00000001")+attr(0xc0, 25, "0002"+hop6+"0001")+attr(0xc0, 32, "0000fc9a0000000100000002")+attr(0xc0, 35, "0000fc9a"), several),
		update("", origin+attr(0x40, 2, "0202fc9a5ba0")+hop+attr(0xc0, 7, "5ba00a000001")+attr(0xc0, 17, "02020000fc9a00010001")+attr(0xc0, 18, "000100010a000002"), several),
		update("", origin+attr(0x40, 2, "01025ba05ba00201fc9a")+hop+attr(0xc0, 17, "0102000100010001000202010000fc9a"), v4),
		update("", origin+attr(0x40, 2, seg(2, 1000, 255, 4)+seg(1, 7, 3, 4)+seg(2, 1000, 3, 4))+hop, v4),
		update("", attr(0x80, 15, "000201"+v6), ""),
		update("", attr(0x80, 15, "000101"+v4), ""),
		update("", origin+path+attr(0x80, 14, "000101"+"10"+hop6+"00"+several), ""),
		update("", origin+path+attr(0x80, 14, "000201"+"20"+hop6+hop6+"00"+v6), ""),
		update("", "", ""),
		update("", attr(0x80, 15, "000201"), ""),
		update("", usual+"c008c801020304", v4),
		update("", usual+attr(0xc0, 40, "00")+attr(0xc0, 200, ""), v4),
		item(stepUsual, append(field(attr(0xc0, 8, "fc9a0001")), unhex(several)...)),
		item(stepWithdrawn, unhex(several)),
		item(stepPolicy, []byte{1}),
		item(stepPolicy, []byte{6}),
		item(stepLost, []byte{3}),
		update("", usual, v4),
		item(stepLost, []byte{2 | 4}),
		item(stepUsual, append(field(""), unhex(several)...)),
		item(stepLost, []byte{3 | 8}),
		item(stepMessage, []byte{typeRefresh, 0, 1, 0, 1}),
		item(stepMessage, []byte{typeNotification, 6, 2}),
		item(stepMessage, []byte{typeKeepalive}),
		item(stepRaw, updateMessage(unhex(v4), unhex(usual), unhex(several))),
	}
	var long []byte
	for i, x := range all {
		for _, flags := range []byte{0, 1, 2, 3, 4, 8, 16, 0x80, 0xc0} {
			f.Add(append([]byte{flags, 7}, x...))
		}
		if i != len(all)-3 { // but for the NOTIFICATION
			long = append(long, x...)
		}
	}
	for flags := range 256 {
		f.Add(append([]byte{byte(flags), 30}, long...))
	}
}
