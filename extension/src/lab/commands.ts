/** Names that more than one plugin uses. */

export const CATEGORY = "Wardian";
export const OPEN = "wardian:open-containers";
