/* A double, for the tests alone: Rust has its random numbers from ProcessPrng of bcryptprimitives.dll. Windows 10 and later have it,
   the Wine 8 of Debian 12 has not. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length) { return RtlGenRandom(bytes, (ULONG)length); }
