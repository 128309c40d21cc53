/** The types of authsec-js. docs/javascript.md explains the behaviour. */

/** Clocks in seconds, which tests can replace. `monotonic` cannot be set; `wall` is the time of day. */
export interface Clock {
  monotonic(): number;
  wall(): number;
}

type Fetch = typeof globalThis.fetch;
type Names = string | readonly string[];

/** A source of proof, made by `keyFile`, `tokenFile` or `secretFile`. */
export interface CredentialSource {
  lookedAt(): string;
  proof(request: ProofRequest): Promise<Proof | undefined>;
  /** Whether the authority finds the client by this proof alone. */
  readonly namesItself?: boolean;
}

export interface ProofRequest {
  clientId: string;
  issuer(): Promise<string>;
  audience(): Promise<string>;
  now: number;
}

export interface Proof {
  form: Record<string, string>;
  source: string;
  ifRefused: string;
}

export function keyFile(path: string): CredentialSource;
export function tokenFile(path: string): CredentialSource;
export function secretFile(path: string): CredentialSource;

export interface AuthSecClientOptions {
  /** The root of the authority's server. Default: the variable AUTHSEC_BASE_URL. */
  baseUrl?: string;
  /** The agent's id. Default: the variable AUTHSEC_AGENT_CLIENT_ID. */
  clientId?: string;
  /** Pins the authority's `iss`. Default: AUTHSEC_ISSUER, then the authority's metadata. */
  issuer?: string;
  /** The audience of workload tokens. Default: AUTHSEC_PROOF_AUDIENCE, then the issuer. */
  proofAudience?: string;
  /** The source of the agent's proof. Default: the files of the environment, of the pod and of the config folder. */
  credential?: CredentialSource;
  /** Binds tokens to a key of this process (RFC 9449). Default: AUTHSEC_DPOP. */
  dpop?: boolean;
  /** Seconds for one token request, including its retries. */
  timeout?: number;
  /** Seconds before expiry at which a token is renewed; at most half of the token's life. */
  refreshMargin?: number;
  /** Hosts that may be reached without TLS. Loopback is always allowed. */
  allowHttpHosts?: readonly string[];
  fetch?: Fetch;
  clock?: Clock;
  onWarning?: (text: string) => void;
}

export interface TokenOptions {
  /** Actions. Default: all that are delegated. */
  scope?: Names;
  /** APIs (RFC 8707). Default: the audience of the delegation. */
  resource?: Names;
}

export interface OutgoingOptions extends TokenOptions {
  /** The APIs that may receive the token: scheme, host and port. */
  allowedOrigins: Names;
}

export class AuthSecClient {
  constructor(options?: AuthSecClientOptions);
  getDelegationToken(): Promise<string>;
  getToken(options?: TokenOptions & { forceRefresh?: boolean }): Promise<DelegationToken>;
  /** The headers of one request with this token; with `dpop`, call it again for each request. */
  headers(token: DelegationToken, method: string, url: string | URL): Promise<Record<string, string>>;
  invalidate(token: string | DelegationToken): void;
  revokeToken(token: string | DelegationToken): Promise<void>;
  authorizedFetch(options: OutgoingOptions): Fetch;
  mcpFetch(options: OutgoingOptions): (input: string | URL, init?: RequestInit) => Promise<Response>;
}

export interface McpAuthProviderOptions {
  /** Only a `tokenFile` needs no `clientId`: the workload's token is then the grant. */
  clientId?: string;
  /** The credential goes to this issuer alone. */
  issuer: string;
  credential: CredentialSource;
  /** Actions, if neither the server's challenge nor its metadata names any. */
  scope?: string;
  allowHttpHosts?: readonly string[];
}

/** The members of the MCP SDK's `OAuthClientProvider` that client credentials need. */
export interface McpAuthProvider {
  readonly redirectUrl: undefined;
  readonly clientMetadata: { client_name: string; redirect_uris: string[]; grant_types: string[]; scope?: string };
  clientInformation(): { client_id: string; issuer: string };
  tokens(): any;
  saveTokens(tokens: any): void;
  invalidateCredentials(): void;
  prepareTokenRequest(scope?: string): URLSearchParams;
  addClientAuthentication(
    headers: Headers,
    params: URLSearchParams,
    url: string | URL,
    metadata?: { issuer: string },
  ): Promise<void>;
  redirectToAuthorization(url: URL): never;
  codeVerifier(): never;
  saveCodeVerifier(verifier: string): never;
}

export function mcpAuthProvider(options: McpAuthProviderOptions): McpAuthProvider;

export class DelegationToken {
  private constructor();
  /** The secret. `util.inspect`, `JSON.stringify` and `String` do not show it. */
  get value(): string;
  readonly tokenType: "Bearer" | "DPoP";
  readonly expiresIn: number;
  readonly expiresAt: Date;
  readonly permissions: readonly string[];
}

export interface TokenVerifierOptions {
  issuer: string;
  audience: string;
  leeway?: number;
  algorithms?: readonly ("RS256" | "ES256" | "EdDSA")[];
  revocations?: "fail_closed" | "until_exp";
  staleAfter?: number;
  /** Proves to the authority which API follows the feed. Default: the variable AUTHSEC_API_CREDENTIAL. */
  credential?: string;
  /** The URL of this API's protected resource metadata (RFC 9728), for challenges. */
  resourceMetadata?: string;
  allowHttpHosts?: readonly string[];
  fetch?: Fetch;
  clock?: Clock;
  onWarning?: (text: string) => void;
}

export class TokenVerifier {
  constructor(options: TokenVerifierOptions);
  get issuer(): string;
  get audience(): string;
  verify(token: string): Promise<VerifiedToken>;
  verifyHeader(authorization: string | readonly string[] | null | undefined): Promise<VerifiedToken>;
  checkReady(): Promise<void>;
  health(): {
    keys: { age?: number; failure?: string };
    revocations: { age?: number; sequence: number; failure?: string };
  };
  close(): void;
}

export class VerifiedToken {
  private constructor();
  readonly agent: string;
  readonly clientId: string;
  readonly permissions: readonly string[];
  readonly delegations: readonly string[];
  readonly roles: readonly string[];
  readonly attestation: { readonly method: string; readonly selectors: readonly string[] };
  readonly audience: readonly string[];
  readonly jti: string;
  readonly expiresAt: Date;
  get issuer(): string;
  require(...actions: [string, ...string[]]): void;
  requireAny(...actions: [string, ...string[]]): void;
}

export class AuthSecError extends Error {
  readonly reason: string;
  readonly details: string;
  readonly status?: number;
  readonly requestId?: string;
  readonly retryable: boolean;
  readonly retryAfter?: number;
  /** Whether only the agent's operator can fix the problem. */
  get isOfTheSetup(): boolean;
  /** The text for a model, without names of settings and files. */
  get forModel(): string;
}
export class ConfigError extends AuthSecError {}
export class TransportError extends AuthSecError {}
export class InvalidResponse extends AuthSecError {}
export class TokenRequestError extends AuthSecError {}
export class AuthenticationError extends TokenRequestError {}
export class DelegationDenied extends TokenRequestError {
  readonly missingActions: readonly string[];
  readonly allowedScope: string;
  readonly grantAt?: string;
}
export class RateLimited extends TokenRequestError {}
export class ServerError extends TokenRequestError {}
export class VerificationError extends AuthSecError {
  readonly status: number;
  /** The response's JSON body. */
  get body(): { error: string; reason: string; details: string; retryable: boolean };
  /** The response's header `WWW-Authenticate`, if the response needs one. */
  get challenge(): string | undefined;
}
export class InvalidToken extends VerificationError {}
export class InvalidRequest extends VerificationError {}
export class InsufficientScope extends VerificationError {
  readonly required: readonly string[];
  readonly granted: readonly string[];
  readonly missing: readonly string[];
  readonly allowed: readonly string[];
  readonly grantAt?: string;
  get body(): VerificationError["body"] & {
    missing_actions: readonly string[];
    granted_actions: readonly string[];
    allowed_scope: string;
    grantable: boolean;
    grant_at: string | null;
    for_model: string;
  };
}
export class VerificationUnavailable extends VerificationError {
  readonly retryAfter: number;
}
export class KeysUnavailable extends VerificationUnavailable {}
export class RevocationsUnavailable extends VerificationUnavailable {}
