# Gives one client of Apex One the server's certificate, as the vendor's notice says: copies OfcNTCer.dat, IpXfer and, where the server has it,
# DatFHS to the client, and runs IpXfer -e there. An example to adapt, for clients that are reached by WinRM; it was not tested on Windows.
#
#   deliver.ps1 CLIENT CERTIFICATE FILES [PASSWORD-FILE]
#
# What it prints goes nowhere. A status other than 0 says that it has failed; only the server's next list says that it has not.
param(
    [Parameter(Mandatory)] [ValidatePattern('^[A-Za-z0-9_][A-Za-z0-9._-]*$')] [string] $Client,
    [Parameter(Mandatory)] [string] $Certificate,
    [Parameter(Mandatory)] [string] $Files,
    [string] $PasswordFile
)
$ErrorActionPreference = 'Stop'

$session = New-PSSession -ComputerName $Client
try {
    # A directory of its own, which administrators alone may write to: what lies there is run.
    $place = Invoke-Command -Session $session {
        $ErrorActionPreference = 'Stop'
        $place = Join-Path $env:SystemRoot "Temp\kagiban-$([guid]::NewGuid())"
        New-Item -ItemType Directory -Path $place | Out-Null
        & icacls $place /inheritance:r /grant '*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F' | Out-Null
        if ($LASTEXITCODE -ne 0) {
            Remove-Item -LiteralPath $place
            throw "icacls ended with $LASTEXITCODE"
        }
        $place
    }
    $is64 = Invoke-Command -Session $session { [Environment]::Is64BitOperatingSystem }
    $program = if ($is64) { 'Ipxfer_x64.exe' } else { 'Ipxfer.exe' }
    # For a server of build 12526 and later. The notice does not say where it lies; here it is looked for beside IpXfer.
    $library = Join-Path $Files $(if ($is64) { 'DatFHS_x64.dll' } else { 'DatFHS.dll' })
    $sent = @($Certificate, (Join-Path $Files $program)) + @($library | Where-Object { Test-Path -LiteralPath $_ })
    $sent | ForEach-Object { Copy-Item -LiteralPath $_ -Destination $place -ToSession $session }

    # IpXfer takes the unload password in no other way than as an argument: who may list the processes of the client sees it while it runs.
    $password = if ($PasswordFile) { Get-Content -LiteralPath $PasswordFile -TotalCount 1 } else { $null }
    $status = Invoke-Command -Session $session -ArgumentList $place, $program, (Split-Path -Leaf $Certificate), $password {
        param($place, $program, $file, $password)
        $ErrorActionPreference = 'Stop'
        try {
            Set-Location -LiteralPath $place
            $arguments = @('-e', (Join-Path $place $file))
            if ($password) { $arguments += @('-pwd', ('"' + $password + '"')) }
            (Start-Process -FilePath (Join-Path $place $program) -ArgumentList $arguments -Wait -PassThru).ExitCode
        }
        finally {
            Set-Location -LiteralPath $env:SystemRoot
            Remove-Item -LiteralPath $place -Recurse -Force
        }
    }
    # Nothing would be taken for 0.
    if ($status -isnot [int]) { throw "$program did not run on $Client" }
    exit $status
}
finally {
    Remove-PSSession $session
}
