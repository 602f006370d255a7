// SPDX-License-Identifier: Apache-2.0

// Preloaded into a program that uses OpenSSL 3, this writes what EVP_KDF_derive is asked to
// derive for TLS 1.3, as a probe on the function's entry sees it, to the file $KDF_LOG.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct param { // OSSL_PARAM(3)
	const char *key;
	unsigned int type;
	void *data;
	size_t size, ret;
};

static int hex(char *out, const struct param *p)
{
	int n = 0;
	for (size_t i = 0; i < p->size && i < 64; i++)
		n += sprintf(out + n, "%02x", ((unsigned char *)p->data)[i]);
	return n;
}

int EVP_KDF_derive(void *ctx, unsigned char *out, size_t len, const struct param *params)
{
	static int (*next)(void *, unsigned char *, size_t, const struct param *);
	const struct param *key = 0, *label = 0, *data = 0;
	if (!next)
		next = dlsym(RTLD_NEXT, "EVP_KDF_derive");
	for (const struct param *p = params; p && p->key; p++) {
		if (!strcmp(p->key, "key"))
			key = p;
		else if (!strcmp(p->key, "label"))
			label = p;
		else if (!strcmp(p->key, "data"))
			data = p;
	}
	if (key && label && data && label->size > 8 && !memcmp((char *)label->data + label->size - 7, "traffic", 7)) {
		char line[512];
		int n = 0, fd = open(getenv("KDF_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0600);
		for (size_t i = 0; i < label->size; i++) {
			char c = ((char *)label->data)[i];
			line[n++] = c == ' ' ? '_' : c;
		}
		line[n++] = ' ';
		n += hex(line + n, key);
		line[n++] = ' ';
		n += hex(line + n, data);
		line[n++] = '\n';
		if (write(fd, line, n) != n)
			abort();
		close(fd);
	}
	return next(ctx, out, len, params);
}
