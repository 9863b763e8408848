# Prints how the service of the Kagiban exporter stands on this host, and how each thing was looked at: what the tests under Wine cannot
# show, and what is told at once with it. Run it as an administrator in Windows PowerShell 5.1 (`powershell -ExecutionPolicy Bypass -File
# verify.ps1`), after the service was installed and started. Nothing is changed, but for one event that is written to the Application
# log. Ends with the number of failures.
#Requires -Version 5.1
#Requires -RunAsAdministrator
param(
    [string]$Address = 'http://127.0.0.1:9996'
)

$name = 'kagiban-exporter'
$data = Join-Path $env:ProgramData 'kagiban'
$rows = New-Object System.Collections.ArrayList

function Test-One([string]$What, [string]$How, [scriptblock]$Check) {
    try {
        $found = & $Check
        $result = if ($found) { 'ok' } else { 'FAILED' }
    } catch {
        $found = $_.Exception.Message
        $result = 'FAILED'
    }
    $row = [pscustomobject]@{ Result = $result; What = $What; How = $How; Found = "$found" }
    [void]$rows.Add($row)
}

$key = "HKLM:\SYSTEM\CurrentControlSet\Services\$name"
Test-One 'the service runs' "Get-Service $name" { (Get-Service $name -ErrorAction Stop).Status -eq 'Running' }
Test-One 'it starts with Windows, after others' "$key, Start and DelayedAutostart" {
    $settings = Get-ItemProperty $key -ErrorAction Stop
    $settings.Start -eq 2 -and $settings.DelayedAutostart -eq 1
}
Test-One 'the path of its program is quoted' "$key, ImagePath" {
    $path = (Get-ItemProperty $key -ErrorAction Stop).ImagePath
    $path.StartsWith('"') -or -not $path.Substring(0, $path.ToLower().IndexOf('.exe')).Contains(' ')
}
Test-One 'it is started again after 5, 30 and 60 s' "sc.exe qfailure $name" {
    $text = (& sc.exe qfailure $name) -join ' '
    $text -match '\b5000\b' -and $text -match '\b30000\b' -and $text -match '\b60000\b'
}
Test-One 'an end with a code counts as a failure' "sc.exe qfailureflag $name" {
    ((& sc.exe qfailureflag $name) -join ' ') -match ':\s*(TRUE|1)'
}
Test-One 'it has a security identifier of its own' "sc.exe qsidtype $name" {
    ((& sc.exe qsidtype $name) -join ' ') -match 'UNRESTRICTED'
}
Test-One 'a shutdown tells it first' "sc.exe queryex $name (ACCEPTS_PRESHUTDOWN)" {
    ((& sc.exe queryex $name) -join ' ') -match 'ACCEPTS_PRESHUTDOWN'
}
Test-One 'a shutdown waits for it 390 s' "sc.exe qpreshutdown $name" {
    ((& sc.exe qpreshutdown $name) -join ' ') -match '390000'
}
Test-One 'the source of events writes and its text is read' "Write-EventLog, Get-WinEvent" {
    $mark = "verify.ps1 $(Get-Random)"
    Write-EventLog -LogName Application -Source $name -EventId 2 -EntryType Warning -Message $mark -ErrorAction Stop
    $filter = @{ LogName = 'Application'; ProviderName = $name; Id = 2 }
    $read = Get-WinEvent -FilterHashtable $filter -MaxEvents 20 -ErrorAction Stop
    @($read | Where-Object { $_.Message -match [regex]::Escape($mark) }).Count -gt 0
}
Test-One 'a battery that Windows sees is one that the exporter sees' 'Win32_Battery, ups_up{backend="windows_power"}' {
    $page = (Invoke-WebRequest -UseBasicParsing "$Address/metrics").Content
    $asked = $page -match '(?m)^ups_up\{[^}]*backend="windows_power"[^}]*\} (\d)'
    if (-not $asked) { return 'no windowsPower is configured' }
    $heard = $Matches[1] -eq '1'
    $heard -eq (@(Get-CimInstance Win32_Battery).Count -gt 0)
}
$agent = 'HKLM:\SYSTEM\CurrentControlSet\Services\EventLog\Application\APCPBEAgent'
Test-One 'the question for PowerChute''s events is one that the Application log takes' 'Get-WinEvent -FilterXPath' {
    $newest = Get-WinEvent -LogName Application -MaxEvents 1 -ErrorAction Stop
    $id = $newest.RecordId
    $agents = "Provider[@Name='APCPBEAgent'] and (EventID<2206 or EventID>2210)"
    $read = @(Get-WinEvent -LogName Application -FilterXPath "*[System[($agents and EventRecordID>$id) or EventRecordID=$id]]" -ErrorAction Stop)
    $read[-1].RecordId -eq $id -and $read[-1].TimeCreated -eq $newest.TimeCreated
}
Test-One 'where PowerChute writes to the Application log, that is read' "$Address/metrics" {
    $page = (Invoke-WebRequest -UseBasicParsing -Uri "$Address/metrics" -TimeoutSec 10 -ErrorAction Stop).Content
    -not (Test-Path $agent) -or $page -match 'kagiban_source_up\{source_kind="host",source_name="Application/APCPBEAgent"\} 1'
}
Test-One 'nobody but administrators enters its directory' "Get-Acl $data" {
    $administrators = 'S-1-5-18', 'S-1-5-32-544'
    $allowed = $administrators + 'S-1-3-0', 'S-1-3-4'
    $acl = Get-Acl $data -ErrorAction Stop
    if ($administrators -notcontains $acl.GetOwner([System.Security.Principal.SecurityIdentifier]).Value) { throw "its owner is $($acl.Owner)" }
    $rules = $acl.GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier])
    $rules = @($rules | Where-Object { $_.AccessControlType -eq 'Allow' })
    $rules.Count -gt 0 -and @($rules | Where-Object { $allowed -notcontains $_.IdentityReference.Value }).Count -eq 0
}
Test-One 'it has written its log' "Get-Item $data\logs\$name.log" {
    (Get-Item (Join-Path $data "logs\$name.log") -ErrorAction Stop).Length -gt 0
}
Test-One 'the service listens at its port' "Get-NetTCPConnection, Win32_Service" {
    $process = (Get-CimInstance Win32_Service -Filter "Name='$name'" -ErrorAction Stop).ProcessId
    $sockets = Get-NetTCPConnection -State Listen -LocalPort ([uri]$Address).Port -ErrorAction Stop
    @($sockets | Where-Object { $_.OwningProcess -ne $process }).Count -eq 0
}
Test-One 'the metrics have what a service tells' "$Address/metrics" {
    $page = (Invoke-WebRequest -UseBasicParsing -Uri "$Address/metrics" -TimeoutSec 10 -ErrorAction Stop).Content
    $page -match 'kagiban_build_info' -and $page -match 'host_shutdown_state\{state="none"\} 1'
}
Test-One 'pending reboots are told as the registry has them' "HKLM, $Address/metrics (host_reboot_pending)" {
    $current = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion'
    $manager = Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager' -ErrorAction Stop
    $pending = [ordered]@{
        component_servicing = Test-Path "$current\Component Based Servicing\RebootPending"
        file_rename = @($manager.PendingFileRenameOperations | Where-Object { $_ }).Count -gt 0
        windows_update = Test-Path "$current\WindowsUpdate\Auto Update\RebootRequired"
    }
    $page = (Invoke-WebRequest -UseBasicParsing -Uri "$Address/metrics" -TimeoutSec 10 -ErrorAction Stop).Content
    $wrong = @($pending.Keys | Where-Object { $page -notmatch "host_reboot_pending\{reason=`"$_`"\} $([int]$pending[$_])\b" })
    if ($wrong.Count -gt 0) { throw "not as the registry has it: $($wrong -join ', ')" }
    $true
}

$rows | Format-Table -AutoSize -Wrap
$failures = @($rows | Where-Object { $_.Result -ne 'ok' }).Count
"$($rows.Count) looked at, $failures failed"
exit $failures
