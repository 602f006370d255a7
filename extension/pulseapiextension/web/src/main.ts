import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { session } from './lib/session.svelte.ts';

void session.begin();
mount(App, { target: document.getElementById('app')! });
