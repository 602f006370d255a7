import type { Finding } from './schema.ts';

/** What is wrong with the transport security of connections, in words, the worst first. */
export const weakness: Record<Finding['finding'], { title: string; about: string; tone: 'bad' | 'warn' | '' }> = {
  expired_certificate: { title: 'Expired certificate', about: 'The server showed a certificate that had ended. Clients that check it refuse it.', tone: 'bad' },
  old_version: { title: 'Old version', about: 'TLS before 1.2 is withdrawn (RFC 8996).', tone: 'bad' },
  plaintext: { title: 'Plaintext', about: 'A protocol that is known, without TLS: whoever is on the way can read it.', tone: 'warn' },
  expiring_certificate: { title: 'Certificate ends', about: 'The certificate of the server ends within 30 days.', tone: 'warn' },
  direct_ip: { title: 'No server name', about: 'A client connected to an address and named no server, as malware and old programs do.', tone: '' },
};
