// This file lets the package declare functions that another one defines.
