// SPDX-License-Identifier: Apache-2.0

package detect

// maxField is the longest name of a field that is looked at, in bytes.
const maxField = 48

// Field returns the kind that the name of a field announces: of a query parameter, a header, a key of JSON or a form.
// Case and separators do not matter, and a known word may stand among others: `billing_card_number`, `X-Api-Key`,
// `newPassword`. None is no proof that the value is harmless.
func Field(name string) Kind {
	if len(name) < 2 || len(name) > maxField {
		return None
	}
	// The name in lower case without separators, and where its words start.
	var buf [maxField]byte
	var starts uint64
	n := 0
	word := true
	var prev uint8
	for i := range len(name) {
		k := charClass[name[i]]
		if k&alnum == 0 {
			word = true
			prev = 0
			continue
		}
		if k&upper != 0 && prev&lower != 0 {
			word = true // a hump of camelCase
		}
		if word {
			starts |= 1 << n
			word = false
		}
		buf[n] = name[i]
		if k&upper != 0 {
			buf[n] += 'a' - 'A'
		}
		n++
		prev = k
	}
	starts |= 1 << n
	s := buf[:n]
	// Every run of whole words, the longest first at each start: at most a few.
	found := None
	for i := range n {
		if starts&(1<<i) == 0 || !fieldStart[s[i]-'0'] {
			continue
		}
		for j := min(n, i+maxFieldWord); j > i+1; j-- {
			if starts&(1<<j) == 0 {
				continue
			}
			if k, ok := fieldNames[string(s[i:j])]; ok {
				if k == None {
					return None // a word that says the field is about a secret: token_type, password_hint
				}
				found = max(found, k)
				break
			}
		}
	}
	return found
}

// fieldNames are the words, without separators, by what they announce.
var fieldNames = func() map[string]Kind {
	m := map[string]Kind{}
	for k, list := range map[Kind][]string{
		Secret: {
			"password", "passwd", "pwd", "passphrase", "passcode", "pin", "pincode", "otp", "totp", "mfacode", "secret", "clientsecret", "secretkey", "apikey", "apitoken",
			"accesskey", "secretaccesskey", "privatekey", "accesstoken", "refreshtoken", "idtoken", "authtoken", "bearertoken", "sessiontoken", "csrftoken", "xsrftoken",
			"token", "authorization", "proxyauthorization", "cookie", "setcookie", "session", "sessionid", "jsessionid", "phpsessid", "sid", "credential", "credentials",
			"auth", "signature", "sig", "jwt", "bearer", "cvv", "cvc", "cvv2", "cvc2", "securitycode", "awsaccesskeyid", "encryptionkey", "signingkey", "sharedkey",
			"connectionstring", "kennwort", "passwort", "motdepasse", "contrasena", "senha", "nonce", "verificationcode", "resettoken", "magiclink",
		},
		NationalID: {
			"ssn", "socialsecurity", "socialsecuritynumber", "nationalid", "nationalidnumber", "nationalinsurance", "nationalinsurancenumber", "nino", "taxid", "taxnumber", "tin", "itin",
			"passport", "passportnumber", "passportno", "idnumber", "idcard", "identitynumber", "personalid", "personalnumber", "personnummer", "fodselsnummer", "cpr", "cprnumber", "hetu",
			"pesel", "bsn", "burgerservicenummer", "nif", "nie", "dni", "codicefiscale", "steuerid", "steuernummer", "steueridentifikationsnummer", "cpf", "cnpj", "cuit", "cuil", "rut", "curp", "rfc",
			"sin", "tfn", "medicare", "medicarenumber", "nhs", "nhsnumber", "pps", "ppsn", "aadhaar", "aadhar", "pan", "pancard", "hkid", "nric", "fin", "rrn", "mynumber", "tckn", "tckimlik",
			"oib", "egn", "cnp", "isikukood", "asmenskodas", "rodnecislo", "insee", "nir", "ahv", "avs", "driverlicense", "drivinglicence", "driverslicense", "teudatzehut", "said",
		},
		Phone: {"phone", "phonenumber", "telephone", "tel", "mobile", "mobilenumber", "cell", "cellphone", "fax", "msisdn", "telefon", "telefono", "handy", "whatsapp"},
		Card:  {"card", "cardnumber", "cardno", "creditcard", "creditcardnumber", "debitcard", "ccnumber", "ccnum", "cc", "primaryaccountnumber", "pan"},
		IBAN:  {"iban", "bankaccount", "accountnumber", "bankaccountnumber"},
		Email: {"email", "emailaddress", "mail", "useremail"},
		None: {
			"tokentype", "tokentypes", "passwordhint", "passwordpolicy", "passwordlength", "tokencount", "totaltokens", "maxtokens", "prompttokens", "completiontokens", "inputtokens", "outputtokens",
			"sessionaffinity", "signaturealgorithm", "signaturemethod", "secretname", "secretref", "keytype", "tokenendpoint", "authorizationendpoint", "authtype", "authmethod", "cookiedomain", "cookiepath",
			"tokenexpires", "tokenexpiry", "tokenlifetime", "passwordresets", "emailverified", "phoneverified", "cardtype", "cardbrand", "passwordenabled", "passwordexpires",
		},
	} {
		for _, name := range list {
			m[name] = k
		}
	}
	m["pan"] = Card
	return m
}()

// fieldStart says which bytes a known word starts with; maxFieldWord is the longest one.
var fieldStart, maxFieldWord = func() (t ['z' - '0' + 1]bool, longest int) {
	for name := range fieldNames {
		t[name[0]-'0'] = true
		longest = max(longest, len(name))
	}
	return t, longest
}()
