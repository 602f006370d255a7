// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"hash/crc32"
	"strings"
)

// Alphabets of tokens.
const (
	base62   = "A-Za-z0-9"
	base64u  = "A-Za-z0-9_-"
	wordy    = "A-Za-z0-9_"
	dotted   = "A-Za-z0-9_.-"
	capitals = "A-Z0-9"
	base36   = "a-z0-9"
	lowerHex = "a-f0-9"
	base64s  = "A-Za-z0-9+/=_-"
)

// vendorToken is the form of the tokens of one issuer: a prefix, and what follows it.
type vendorToken struct {
	prefix   string
	chars    string // the alphabet behind the prefix
	min, max int    // length behind the prefix
	check    func(rest string) bool
	needs    uint8 // kinds of characters that must be among the rest
}

// vendorTokens are the tokens that are recognised by their prefix. The forms are those that the issuers publish for
// secret scanning; of two that match the longer prefix comes first.
var vendorTokens = []vendorToken{
	// AWS: access key ids (16 characters of base32 behind a prefix of four) and Bedrock keys.
	{prefix: "AKIA", chars: capitals, min: 16, max: 16},
	{prefix: "ASIA", chars: capitals, min: 16, max: 16},
	{prefix: "ABIA", chars: capitals, min: 16, max: 16},
	{prefix: "ACCA", chars: capitals, min: 16, max: 16},
	{prefix: "ABSKQmVkcm9ja0FQSUtleS", chars: base64s, min: 80, max: 200},
	// Google: API keys, OAuth access tokens and client secrets, Firebase messaging.
	{prefix: "AIza", chars: base64u, min: 35, max: 35},
	{prefix: "ya29.", chars: dotted, min: 20, max: 2048},
	{prefix: "GOCSPX-", chars: base64u, min: 28, max: 28},
	{prefix: "1//0", chars: base64u, min: 40, max: 200},
	// GitHub: personal, OAuth, user-to-server, server-to-server and refresh tokens carry a CRC-32.
	{prefix: "github_pat_", chars: wordy, min: 82, max: 82},
	{prefix: "ghp_", chars: base62, min: 36, max: 36, check: crcBase62},
	{prefix: "gho_", chars: base62, min: 36, max: 36, check: crcBase62},
	{prefix: "ghu_", chars: base62, min: 36, max: 36, check: crcBase62},
	{prefix: "ghs_", chars: base62, min: 36, max: 36, check: crcBase62},
	{prefix: "ghr_", chars: base62, min: 76, max: 76},
	// npm has taken over GitHub's form, checksum included.
	{prefix: "npm_", chars: base62, min: 36, max: 36, check: crcBase62},
	// GitLab.
	{prefix: "glpat-", chars: dotted, min: 20, max: 300},
	{prefix: "gldt-", chars: base64u, min: 20, max: 64},
	{prefix: "glrt-", chars: dotted, min: 20, max: 64},
	{prefix: "glptt-", chars: base64u, min: 40, max: 40},
	{prefix: "glcbt-", chars: base64u, min: 20, max: 64},
	{prefix: "glsoat-", chars: base64u, min: 20, max: 64},
	{prefix: "gloas-", chars: base64u, min: 64, max: 64},
	// Slack.
	{prefix: "xoxb-", chars: base64u, min: 24, max: 120, needs: digit},
	{prefix: "xoxp-", chars: base64u, min: 24, max: 120, needs: digit},
	{prefix: "xoxa-", chars: base64u, min: 24, max: 120, needs: digit},
	{prefix: "xoxr-", chars: base64u, min: 24, max: 120, needs: digit},
	{prefix: "xoxs-", chars: base64u, min: 24, max: 120, needs: digit},
	{prefix: "xoxe.", chars: dotted, min: 24, max: 240, needs: digit},
	{prefix: "xoxe-", chars: dotted, min: 24, max: 240, needs: digit},
	{prefix: "xapp-", chars: base64u, min: 24, max: 160, needs: digit},
	// Stripe, Square, Shopify, Braintree/PayPal, Adyen.
	{prefix: "sk_live_", chars: base62, min: 16, max: 255},
	{prefix: "sk_test_", chars: base62, min: 16, max: 255},
	{prefix: "rk_live_", chars: base62, min: 16, max: 255},
	{prefix: "rk_test_", chars: base62, min: 16, max: 255},
	{prefix: "whsec_", chars: base64s, min: 24, max: 64},
	{prefix: "sq0atp-", chars: base64u, min: 22, max: 22},
	{prefix: "sq0csp-", chars: base64u, min: 43, max: 43},
	{prefix: "EAAAE", chars: base64u, min: 59, max: 59},
	{prefix: "shpat_", chars: "A-Fa-f0-9", min: 32, max: 32},
	{prefix: "shpca_", chars: "A-Fa-f0-9", min: 32, max: 32},
	{prefix: "shppa_", chars: "A-Fa-f0-9", min: 32, max: 32},
	{prefix: "shpss_", chars: "A-Fa-f0-9", min: 32, max: 32},
	{prefix: "access_token$production$", chars: "a-z0-9$", min: 40, max: 60},
	// Models: OpenAI, Anthropic, Hugging Face, Replicate, Groq, xAI, Perplexity.
	{prefix: "sk-ant-", chars: base64u, min: 32, max: 160, needs: digit},
	{prefix: "sk-proj-", chars: base64u, min: 32, max: 200, needs: digit},
	{prefix: "sk-svcacct-", chars: base64u, min: 32, max: 200, needs: digit},
	{prefix: "sk-admin-", chars: base64u, min: 32, max: 200, needs: digit},
	{prefix: "sk-or-v1-", chars: lowerHex, min: 64, max: 64},
	{prefix: "sk-", chars: base62, min: 32, max: 64, needs: digit},
	{prefix: "hf_", chars: base62, min: 34, max: 37},
	{prefix: "r8_", chars: base62, min: 37, max: 37},
	{prefix: "gsk_", chars: base62, min: 52, max: 52},
	{prefix: "xai-", chars: base62, min: 80, max: 80},
	{prefix: "pplx-", chars: base62, min: 48, max: 48},
	// Clouds and platforms.
	{prefix: "dop_v1_", chars: lowerHex, min: 64, max: 64},
	{prefix: "doo_v1_", chars: lowerHex, min: 64, max: 64},
	{prefix: "dor_v1_", chars: lowerHex, min: 64, max: 64},
	{prefix: "dckr_pat_", chars: base64u, min: 27, max: 27},
	{prefix: "dckr_oat_", chars: base64u, min: 32, max: 32},
	{prefix: "hvs.", chars: base64u, min: 24, max: 160},
	{prefix: "hvb.", chars: base64u, min: 90, max: 300},
	{prefix: "dapi", chars: lowerHex, min: 32, max: 32},
	{prefix: "pypi-AgEIcHlwaS5vcmc", chars: base64u, min: 50, max: 1000},
	{prefix: "rubygems_", chars: lowerHex, min: 48, max: 48},
	{prefix: "tfp_", chars: base62, min: 32, max: 64},
	{prefix: "lin_api_", chars: base62, min: 40, max: 40},
	{prefix: "ATATT3", chars: base64s, min: 60, max: 250},
	{prefix: "HRKU-", chars: base64u, min: 36, max: 70},
	{prefix: "fo1_", chars: base64u, min: 43, max: 43},
	{prefix: "pscale_tkn_", chars: dotted, min: 32, max: 64},
	{prefix: "pscale_pw_", chars: dotted, min: 32, max: 64},
	{prefix: "sbp_", chars: lowerHex, min: 40, max: 40},
	{prefix: "age-secret-key-1", chars: base36, min: 58, max: 58},
	{prefix: "AGE-SECRET-KEY-1", chars: capitals, min: 58, max: 58},
	// Messaging and observability.
	{prefix: "SG.", chars: dotted, min: 66, max: 66},
	{prefix: "SK", chars: lowerHex, min: 32, max: 32},
	{prefix: "AC", chars: lowerHex, min: 32, max: 32},
	{prefix: "key-", chars: lowerHex, min: 32, max: 32},
	{prefix: "NRAK-", chars: capitals, min: 27, max: 27},
	{prefix: "NRJS-", chars: lowerHex, min: 19, max: 19},
	{prefix: "glsa_", chars: wordy, min: 41, max: 41},
	{prefix: "glc_", chars: base64s, min: 32, max: 400},
	{prefix: "sntrys_", chars: base64s, min: 60, max: 400},
	{prefix: "sntryu_", chars: lowerHex, min: 64, max: 64},
	{prefix: "dp.pt.", chars: base62, min: 43, max: 43},
	{prefix: "PMAK-", chars: "a-f0-9-", min: 59, max: 59},
	{prefix: "ntn_", chars: base62, min: 46, max: 46},
	{prefix: "secret_", chars: base62, min: 43, max: 43},
	{prefix: "figd_", chars: base64u, min: 40, max: 60},
	{prefix: "EAAC", chars: base62, min: 60, max: 300},
	{prefix: "AAAAAAAAAAAAAAAAAAAAA", chars: "A-Za-z0-9%", min: 60, max: 120, needs: digit},
}

// vendorIndex holds the tokens by the first byte of their prefix, and vendorPair which two bytes prefixes start with.
// JWTs start with `ey`.
var vendorIndex, vendorPair = func() (index [256][]vendorRule, pair [256][4]uint64) {
	for _, v := range vendorTokens {
		r := vendorRule{vendorToken: v}
		for i := 0; i < len(v.chars); i++ {
			lo := v.chars[i]
			hi := lo
			if i+2 < len(v.chars) && v.chars[i+1] == '-' {
				hi = v.chars[i+2]
				i += 2
			}
			for b := int(lo); b <= int(hi); b++ {
				r.set[b] = true
			}
		}
		index[v.prefix[0]] = append(index[v.prefix[0]], r)
		pair[v.prefix[0]][v.prefix[1]>>6] |= 1 << (v.prefix[1] & 63)
	}
	pair['e']['y'>>6] |= 1 << ('y' & 63)
	return index, pair
}()

// vendorStarts reports whether a token with a known prefix may start at s[i].
func vendorStarts(s string, i int) bool {
	return i+1 < len(s) && vendorPair[s[i]][s[i+1]>>6]&(1<<(s[i+1]&63)) != 0
}

type vendorRule struct {
	vendorToken
	set [256]bool
}

// vendor judges the run of letters and digits s[start:end] as the beginning of a token with a known prefix.
func (c *scanner) vendor(start, end int) {
	s := c.s
	if s[start] == 'e' && end-start >= 3 && s[start+1] == 'y' && (s[start+2] == 'J' || s[start+2] == 'A') {
		c.jwt(start)
		return
	}
	rest := s[start:]
	for i := range vendorIndex[s[start]] {
		r := &vendorIndex[s[start]][i]
		if !strings.HasPrefix(rest, r.prefix) {
			continue
		}
		n := len(r.prefix)
		var seen uint8
		for n < len(rest) && n-len(r.prefix) <= r.max && r.set[rest[n]] {
			seen |= charClass[rest[n]]
			n++
		}
		// The sentence that a token ends is not its own.
		for n > len(r.prefix) && (rest[n-1] == '.' || rest[n-1] == '-') {
			n--
		}
		length := n - len(r.prefix)
		if length < r.min || length > r.max || seen&r.needs != r.needs || n < len(rest) && charClass[rest[n]]&alnum != 0 {
			continue
		}
		if r.check != nil && !r.check(rest[len(r.prefix):n]) {
			continue
		}
		c.report(APIKey, start, start+n)
		return
	}
}

// crcBase62 checks the last six characters of a token, which are the CRC-32 of those before them in base 62.
func crcBase62(rest string) bool {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	body, sum := rest[:len(rest)-6], rest[len(rest)-6:]
	crc := ^uint32(0)
	for i := range len(body) {
		crc = crc32.IEEETable[byte(crc)^body[i]] ^ crc>>8
	}
	crc = ^crc
	for i := 5; i >= 0; i-- {
		if sum[i] != alphabet[crc%62] {
			return false
		}
		crc /= 62
	}
	return crc == 0
}

// jwt judges s[start:] as a compact JWS (three parts) or JWE (five): parts of base64url, of which the first is a
// header. It looks at six parts at most.
func (c *scanner) jwt(start int) {
	if start < c.noJWT {
		return
	}
	s := c.s
	dots, part := 0, start
	var ends [5]int
	i := start
	for ; ; i++ {
		if i < len(s) && (charClass[s[i]]&alnum != 0 || s[i] == '-' || s[i] == '_') {
			continue
		}
		if dots == 0 && i-part < 10 { // {"alg":"…
			return
		}
		ends[dots] = i
		if dots == 4 || i == len(s) || s[i] != '.' {
			break
		}
		dots++
		part = i + 1
	}
	switch {
	case dots == 4 && (s[start+2] == 'J' || s[start+2] == 'A'):
		c.report(JWT, start, ends[4])
	case dots >= 2:
		c.report(JWT, start, ends[2])
	default:
		c.noJWT = ends[0] // what starts within the same part has no more parts
	}
}
