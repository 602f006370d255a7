// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// nationalIDs are examples that authorities, encyclopaedias and libraries publish, which the checksums here were not
// made from. The second form of each is as it stands in texts that announce it.
var nationalIDs = map[string][]string{
	"alone": {
		"078-05-1120", "130-692-544", "123-456-782", "943 476 5919", "86095742719", "47036892816", "185057800608491", "1 85 05 78 006 084 91",
		"RSSMRA85T10A562S", "12345678Z", "12345678-Z", "X1234567L", "AB123456C", "AB 12 34 56 C", "85.07.30-033.28", "85073003328", "811228-9874", "198112289874",
		"19811228-9874", "15108695088", "151086 95088", "211062-5629", "131052-308T", "131052A308T", "710319/2745", "1630615123457", "37605030299", "33309240064",
		"161175-19997", "756.9217.0769.85", "7569217076985", "390.533.447-05", "12.531.909-2", "20-05536168-2", "11010519491231002X", "360426199101010071",
		"971013-9019902", "S1234567D", "1-2345-45678-78-1", "2341 2341 2346", "7503305044089", "6433435F", "6433435FT", "BOXW310820HNERXN09", "2123 45670 1",
	},
	"announced": {
		"078051120", "130692544", "111222333", "123456789", "9434765919", "44051401359", "7523169263", "33392005961", "17291716060", "10000000146", "39053344705",
		"234123412346", "A123456789", "A1234563", "ACUPA7085R", "7103192745", "2110625629", "8112289874", "123 456 782", "039337423", "C01X00T47", "12345678z",
	},
}

func TestNationalIDs(t *testing.T) {
	t.Parallel()
	for _, s := range nationalIDs["alone"] {
		require.Equal(t, []string{"national_id:" + s}, found(None, s), "%q", s)
		require.Equal(t, []string{"national_id:" + s}, found(None, "his number "+s+", she said"), "%q", s)
		require.Equal(t, []string{"national_id:" + s}, found(None, `{"a":"`+s+`"}`), "%q", s)
	}
	for _, s := range nationalIDs["announced"] {
		require.Empty(t, found(None, s), "%q", s)
		require.Equal(t, []string{"national_id:" + s}, found(NationalID, s), "%q", s)
		require.Equal(t, []string{"national_id:" + s}, found(None, "the tax id "+s), "%q", s)
		require.Equal(t, []string{"national_id:" + s}, found(None, `{"personalId":"`+s+`"}`), "%q", s)
		require.Equal(t, []string{"national_id:" + s}, found(None, "a=b&national_id="+s+"&c=d"), "%q", s)
	}
}

// TestNationalIDsThatAreNone changes the last digit or letter, which every checksum must notice.
func TestNationalIDsThatAreNone(t *testing.T) {
	t.Parallel()
	noChecksum := "078-05-1120 AB123456C AB 12 34 56 C 211062-5629 1-2345"
	for _, s := range nationalIDs["alone"] {
		if strings.Contains(noChecksum, s) {
			continue
		}
		b := []byte(s)
		i := len(b) - 1
		if s == "2123 45670 1" { // its last digit is no check digit
			i -= 2
		}
		if s == "6433435FT" {
			i--
		}
		switch b[i] {
		case '9':
			b[i] = '8'
		case 'Z', 'X':
			b[i] = 'A'
		default:
			b[i]++
		}
		for _, kind := range found(None, string(b)) {
			require.NotContains(t, kind, "national_id:"+string(b))
		}
	}
	for _, s := range []string{"000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "1123-45-6789", "123-45-67890", "GB123456A", "AB123456E", "529.982.247-26", "1700000000000", "1234567890", "20240131120000"} {
		require.Empty(t, found(None, s), s)
	}
}

func TestPhones(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"+1-555-234-4567", "+15552344567", "+1 (555) 234-4567", "(555) 234-4567", "555-234-4567", "555.234.4567", "+49 30 901820", "+4915123456789", "+44 20 7946 0958", "+442079460958",
		"+33 1 42 68 53 00", "01 42 68 53 00", "+81 3-1234-5678", "+86 138 1234 5678", "+91 98765 43210", "%2B4915123456789", "1-800-234-4567", "+353 1 234 5678",
	} {
		require.Equal(t, []string{"phone:" + s}, found(None, s), "%q", s)
		require.Equal(t, []string{"phone:" + s}, found(None, "call "+s+" now"), "%q", s)
		require.Equal(t, []string{"phone:" + s}, found(None, `"x":"`+s+`"`), "%q", s)
	}
	for _, s := range []string{"0301234567", "5552344567", "020 7946 0958"} {
		require.Empty(t, found(None, s), s)
		require.Equal(t, []string{"phone:" + s}, found(Phone, s), s)
		require.Equal(t, []string{"phone:" + s}, found(None, "phone: "+s), s)
	}
	for _, s := range []string{"2024-01-31T12:00:00+01:00", "+1234567", "1+12345678901", "+00 123456789", "123-456-7890x", "155-234-4567", "+1 155 234 4567", "2024-01-31", "+123456789012345678"} {
		require.Empty(t, found(None, s), s)
	}
}

func TestCards(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "4111+1111+1111+1111", "4111%201111%201111%201111", "5555555555554444", "2223003122003222", "378282246310005", "3782 822463 10005",
		"6011111111111117", "3056930009020004", "30569309025904", "3530111333300000", "6200000000000005", "6759649826438453", "2200000000000053", "4111\u00a01111\u00a01111\u00a01111",
	} {
		require.Equal(t, []string{"card:" + s}, found(None, s), "%q", s)
		require.Equal(t, []string{"card:" + s}, found(None, "card "+s+" 12/28"), "%q", s)
		require.Equal(t, []string{"card:" + s}, found(None, "12/28 "+s), "%q", s)
		require.Equal(t, []string{"card:" + s}, found(None, "pan="+s+"&exp=1228"), "%q", s)
	}
	for _, s := range []string{"4111111111111112", "1111111111111117", "0.4111111111111111", "4111111111111111x", "x4111111111111111", "41111111111111111111111111", "4111.1111.1111.1111", "4111-1111 1111-1111"} {
		require.Empty(t, found(None, s), s)
	}
}

func TestIBANs(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "GB82 WEST 1234 5698 7654 32", "NO93 8601 1117 947", "FR14+2004+1010+0505+0001+3M02+606", "MT84MALT011000012345MTLCAST001S"} {
		require.Equal(t, []string{"iban:" + s}, found(None, s), "%q", s)
		require.Equal(t, []string{"iban:" + s}, found(None, "pay to "+s+" today"), "%q", s)
	}
	for _, s := range []string{"DE88370400440532013000", "DE8937040044053201300", "ZZ89370400440532013000", "DE89 3704 0044 0532 0130", "XDE89370400440532013000"} {
		require.Empty(t, found(None, s), s)
	}
}
