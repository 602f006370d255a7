// Who looks, and what this Pulse is.
import { ahead, address, getConfig, getMe, onSignedOut, postSession, Problem, type Config, type Me } from './api.ts';
import { newest } from './newest.ts';
import { route } from './route.svelte.ts';
import { live, which } from './shown.ts';

class Session {
  state: 'starting' | 'in' | 'out' = $state('starting');
  config: Config | null = $state.raw(null);
  me: Me | null = $state.raw(null);
  /** Why signing in failed. */
  problem = $state('');
  /** Where to sign in at a provider. */
  login = $state('');

  constructor() {
    onSignedOut((p) => {
      this.login = p.login;
      this.state = 'out';
    });
  }

  /** Whether the caller has a capability, such as payload:read. */
  can(capability: string): boolean {
    return this.me?.capabilities.some((c) => c.capability === capability) ?? false;
  }

  async begin() {
    const token = /^#token=([\w-]+)$/.exec(location.hash)?.[1];
    if (token) {
      // Out of the address bar and the history before anything else.
      history.replaceState(null, '', location.pathname + location.search);
      route.sync();
      await this.signIn(token);
    } else {
      await this.#enter();
    }
  }

  async signIn(token: string) {
    try {
      await postSession(token);
    } catch (err) {
      const p = err as Problem;
      this.problem = p.status === 401 ? 'This token is not accepted.' : p.message;
      this.state = 'out';
      return;
    }
    this.problem = '';
    await this.#enter();
  }

  async #enter() {
    // The view asks its questions beside these; whoever is not signed in gets to know by any of them.
    this.state = 'in';
    if (route.view === 'requests') ahead(address('requests', newest(which(), live())));
    const [config, me] = await Promise.allSettled([getConfig(), getMe()]);
    if (config.status === 'fulfilled') this.config = config.value;
    if (me.status === 'fulfilled') this.me = me.value;
  }
}

export const session = new Session();
