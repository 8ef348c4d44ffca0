/** What functions that orval has generated call: fetch, at one server. */
let baseUrl = "";

export function setBaseUrl(url: string): void {
  baseUrl = url;
}

/** Its type is what orval expects: an answer of one of the kinds that the document names. */
export async function request<T>(url: string, options: RequestInit): Promise<T> {
  const response = await fetch(baseUrl + url, options);
  return { data: await response.json(), status: response.status, headers: response.headers } as T;
}
